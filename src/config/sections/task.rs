//! `[task]`.

use crate::config::option::{removed, section, tier1};

section! {
    /// Options of `[task]`.
    TaskSection = "task" {
        /// Found in old configuration files; use taskflow_executor max_workers.
        eventlet_executor_pool_size: Option<String> = None, removed();
        /// Task engine; only taskflow.
        task_executor: String = "taskflow", tier1().choices(&["taskflow"]).idle("there is one task engine");
        /// Hours a finished task is kept.
        task_time_to_live: i64 = 48, tier1().old(&[("DEFAULT", "task_time_to_live")]);
        /// Scratch directory of the legacy import task (single-store mode).
        work_dir: Option<String> = None, tier1();
    }
}
