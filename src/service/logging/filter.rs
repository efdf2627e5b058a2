//! Which spans and events a layer sees.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer};

use super::levels::Levels;

/// Lets pass what [`Levels`] allow.
pub(super) struct Filter(Arc<ArcSwap<Levels>>);

impl Filter {
    pub(super) fn new(levels: Arc<ArcSwap<Levels>>) -> Self {
        Self(levels)
    }

    /// Those in force now.
    pub(super) fn levels(&self) -> Guard<Arc<Levels>> {
        self.0.load()
    }

    pub(super) fn allows(&self, metadata: &Metadata<'_>) -> bool {
        // A span writes nothing by itself, but what happens in it needs its fields.
        let span = metadata.is_span() && *metadata.level() <= LevelFilter::INFO;
        span || self.levels().allow(metadata.target(), *metadata.level())
    }

    pub(super) fn interest(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.allows(metadata) { Interest::always() } else { Interest::never() }
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.interest(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels().most().max(LevelFilter::INFO))
    }
}
