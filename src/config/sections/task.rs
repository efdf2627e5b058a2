//! `[task]`.

use std::time::Duration;

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

impl TaskSection {
    /// How long a task that is done is shown.
    pub(crate) fn time_to_live(&self) -> Duration {
        let hours = u64::try_from(self.task_time_to_live).unwrap_or(0);
        // More than a hundred years are for ever, and still a time that a database holds.
        Duration::from_secs(hours.min(100 * 365 * 24) * 3600)
    }
}
