//! An image that is to come into the cache, at its store.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use tokio::time::Instant;

use super::life::show_life;
use crate::identity::Context;
use crate::image::{self, Image, Images};
use crate::store::{OpenFile, Priority, StoreError};

/// Between two signs of life of a writer that has to read again what is there already.
const SIGNS_PAUSE: Duration = Duration::from_secs(10);

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
    /// what comes from it may go beyond `end`. `file`: where it is written into the cache, for whose followers the writer shows that it lives as long
    /// as nothing new comes.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub(super) async fn open(
        &self,
        at: u64,
        end: Option<u64>,
        file: Option<&Arc<OpenFile>>,
    ) -> Result<Data, image::Error> {
        let Self { images, caller, image } = self;
        if let Some(end) = end.filter(|_| at > 0) {
            match images.open(caller.as_ref(), image, Some(at..end)).await {
                Err(image::Error::Store(StoreError::Unsupported { .. })) => {}
                opened => return Ok(opened?.into_stream(Priority::Request)),
            }
        }
        let whole = images.open(caller.as_ref(), image, None).await?.into_stream(Priority::Request);
        Ok(if at == 0 { whole } else { Box::pin(behind(whole, at, file.cloned())) })
    }
}

/// What comes behind so many bytes.
fn behind(data: Data, mut skip: u64, file: Option<Arc<OpenFile>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut shown = Instant::now();
    data.filter_map(move |piece| {
        let rest = piece.map(|mut bytes| {
            let skipped = skip.min(bytes.len() as u64);
            skip -= skipped;
            let rest = bytes.split_off(usize::try_from(skipped).unwrap_or(usize::MAX));
            (!rest.is_empty()).then_some(rest)
        });
        let is_due = matches!(rest, Ok(None)) && shown.elapsed() >= SIGNS_PAUSE;
        if is_due {
            shown = Instant::now();
        }
        let file = file.clone().filter(|_| is_due);
        async move {
            if let Some(file) = file {
                show_life(&file).await;
            }
            rest.transpose()
        }
    })
}
