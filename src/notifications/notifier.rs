//! From the domain to the listeners.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Event;

/// Somebody who wants to know what happens.
pub trait Listener: Send + Sync {
    /// Called on the thread that serves the request, after the event has taken effect: must not block. What takes time is to be
    /// handed to somebody else, and lost where that one cannot keep up.
    fn notice(&self, event: &Event<'_>);
}

/// All listeners. Cheap to clone; without listeners an event costs nothing.
#[derive(Clone, Default)]
pub struct Notifier {
    listeners: Arc<[Box<dyn Listener>]>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("listeners", &self.listeners.len()).finish()
    }
}

impl Notifier {
    /// They are called in this order.
    pub fn new(listeners: Vec<Box<dyn Listener>>) -> Self {
        Self { listeners: listeners.into() }
    }

    /// Tells all listeners. One that panics is passed over: what has happened has happened.
    pub fn emit(&self, event: &Event<'_>) {
        for listener in &*self.listeners {
            if catch_unwind(AssertUnwindSafe(|| listener.notice(event))).is_err() {
                tracing::error!(event = event.name(), subject = event.subject(), "a listener of events has failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::{Change, ImageEvent, Subject};
    use super::*;

    #[derive(Clone, Default)]
    struct Names(Arc<Mutex<Vec<&'static str>>>);

    impl Listener for Names {
        fn notice(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(event.name());
        }
    }

    struct Broken;

    impl Listener for Broken {
        fn notice(&self, _: &Event<'_>) {
            panic!("on purpose");
        }
    }

    #[test]
    fn every_listener_hears_every_event_whatever_the_others_do() {
        let names = Names::default();
        let notifier = Notifier::new(vec![Box::new(Broken), Box::new(names.clone())]);
        for change in [Change::Created, Change::Activated] {
            notifier.emit(&Event::Image(ImageEvent { image: Subject { id: "i", owner: None }, change }));
        }
        assert_eq!(*names.0.lock().unwrap(), ["image.create", "image.activate"]);
    }
}
