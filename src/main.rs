//! glance-api: arguments, configuration, then `service::run`.

fn main() {}
