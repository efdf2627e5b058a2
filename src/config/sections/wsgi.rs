//! `[wsgi]`.

use crate::config::option::{section, tier1, tier3};

section! {
    /// Options of `[wsgi]`.
    WsgiSection = "wsgi" {
        /// Interpreter used to apply resource limits to child processes; no meaning outside Python.
        python_interpreter: Option<String> = None, tier3();
        /// Concurrent background tasks per worker process.
        task_pool_threads: i64 = 16, tier1().min(1.0);
    }
}
