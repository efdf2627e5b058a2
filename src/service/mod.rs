//! The life of one worker.
