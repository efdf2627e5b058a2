//! An image that is to come into the cache, at its store.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{Stream, StreamExt as _};

use crate::identity::Context;
use crate::image::{self, Image, Images};
use crate::store::{Priority, StoreError};

/// An image that is wanted, and on whose behalf the store gives it. Cheap to clone.
#[derive(Clone)]
pub(super) struct FillRequest {
    pub(super) images: Images,
    /// `None`: the service itself.
    pub(super) caller: Option<Arc<Context>>,
    pub(super) image: Arc<Image>,
}

type Data = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

impl FillRequest {
    /// The image's data from byte `at` on, up to `end`; `None`: to its end. A store that gives no parts is read from the beginning, and
    /// what comes from it may go beyond `end`.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub(super) async fn open(&self, at: u64, end: Option<u64>) -> Result<Data, image::Error> {
        let Self { images, caller, image } = self;
        if let Some(end) = end.filter(|_| at > 0) {
            match images.open(caller.as_ref(), image, Some(at..end)).await {
                Err(image::Error::Store(StoreError::Unsupported { .. })) => {}
                opened => return Ok(opened?.into_stream(Priority::Request)),
            }
        }
        let whole = images.open(caller.as_ref(), image, None).await?.into_stream(Priority::Request);
        Ok(if at == 0 { whole } else { Box::pin(behind(whole, at)) })
    }
}

/// What comes behind so many bytes.
fn behind(data: Data, mut skip: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    data.filter_map(move |piece| {
        ready(match piece {
            Ok(mut bytes) => {
                let skipped = skip.min(bytes.len() as u64);
                skip -= skipped;
                let rest = bytes.split_off(usize::try_from(skipped).unwrap_or(usize::MAX));
                (!rest.is_empty()).then_some(Ok(rest))
            }
            Err(error) => Some(Err(error)),
        })
    })
}
