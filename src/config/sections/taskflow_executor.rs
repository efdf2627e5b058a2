//! `[taskflow_executor]`.

use crate::config::option::{section, tier2, tier3};

section! {
    /// Options of `[taskflow_executor]`.
    TaskflowExecutorSection = "taskflow_executor" {
        /// Target format of the legacy import task's conversion step.
        conversion_format: Option<String> = None, tier2().choices(&["qcow2", "raw", "vmdk"]);
        /// Run flow steps serially or in parallel.
        engine_mode: String = "parallel", tier3().choices(&["serial", "parallel"]);
        /// Workers of one flow engine.
        max_workers: i64 = 10, tier2().min(1.0).idle("[wsgi] task_pool_threads says how many tasks run at a time");
    }
}
