//! Named points at which a test lets the process die, as `kill -9` would. In release builds there are none.

/// Dies here if the environment's `GLANCE_TEST_CRASH_AT` is this name, or with `NAME:N` when the point is passed for the Nth time.
#[inline]
pub(crate) fn crash_point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::{Signal, raise};

    static WANTED: LazyLock<Option<Wanted>> =
        LazyLock::new(|| std::env::var("GLANCE_TEST_CRASH_AT").ok().map(|text| Wanted::parse(&text)));

    struct Wanted {
        name: String,
        /// How often the point is passed before.
        left: AtomicUsize,
    }

    pub(super) fn pass(name: &str) {
        if WANTED.as_ref().is_some_and(|wanted| wanted.is_it(name)) {
            // It does not return.
            let _ = raise(Signal::SIGKILL);
        }
    }

    impl Wanted {
        fn parse(text: &str) -> Self {
            let (name, number) = text.split_once(':').unwrap_or((text, "1"));
            let number: usize = number.parse().unwrap_or(1);
            Self { name: name.to_owned(), left: AtomicUsize::new(number.saturating_sub(1)) }
        }

        fn is_it(&self, name: &str) -> bool {
            let less = |left: usize| left.checked_sub(1);
            name == self.name && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_point_is_met_by_its_name_and_number() {
            let wanted = Wanted::parse("a.b");
            assert!(!wanted.is_it("a.c") && wanted.is_it("a.b"));
            let wanted = Wanted::parse("a.b:3");
            assert!(!wanted.is_it("a.b") && !wanted.is_it("a.c") && !wanted.is_it("a.b") && wanted.is_it("a.b"));
        }
    }
}
