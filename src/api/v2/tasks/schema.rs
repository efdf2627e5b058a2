//! The schema of a task (upstream: `_TASK_SCHEMA` in `glance/api/v2/tasks.py`).

use serde_json::{Value, json};

/// With what a list leaves out.
pub(in crate::api) fn task_schema() -> Value {
    json!({
        "name": "task",
        "properties": {
            "id": {
                "description": "An identifier for the task",
                "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$",
                "type": "string",
            },
            "type": {
                "description": "The type of task represented by this content",
                "enum": ["import", "api_image_import", "location_import"],
                "type": "string",
            },
            "status": {
                "description": "The current status of this task",
                "enum": ["pending", "processing", "success", "failure"],
                "type": "string",
            },
            "input": {"description": "The parameters required by task, JSON blob", "type": ["null", "object"]},
            "result": {"description": "The result of current task, JSON blob", "type": ["null", "object"]},
            "owner": {"description": "An identifier for the owner of this task", "type": "string"},
            "message": {
                "description": "Human-readable informative message only included when appropriate (usually on failure)",
                "type": "string",
            },
            "image_id": {"description": "Image associated with the task", "type": "string"},
            "request_id": {"description": "Human-readable informative request-id", "type": "string"},
            "user_id": {"description": "User associated with the task", "type": "string"},
            "expires_at": {
                "description": "Datetime when this resource would be subject to removal",
                "type": ["null", "string"],
            },
            "created_at": {"description": "Datetime when this resource was created", "type": "string"},
            "updated_at": {"description": "Datetime when this resource was updated", "type": "string"},
            "self": {"readOnly": true, "type": "string"},
            "schema": {"readOnly": true, "type": "string"},
        },
    })
}

/// As a list has it.
pub(in crate::api) fn partial_schema() -> Value {
    let mut schema = task_schema();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for hidden in ["input", "result", "message"] {
            properties.shift_remove(hidden);
        }
    }
    schema
}
