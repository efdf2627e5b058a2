//! What Keystone said about tokens, for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use moka::Expiry;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::keystone::KeystoneError;
use crate::keystone::{Token, Validated, Validator};

/// Validates each token once in a while. Concurrent questions about one token are one request to Keystone.
#[derive(Debug)]
pub(super) struct TokenCache {
    validator: Validator,
    /// `None` where caching is turned off.
    entries: Option<Cache<Key, Validated>>,
}

/// A token is kept as its hash only. Whether it may have ended is part of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    hash: [u8; 32],
    allow_expired: bool,
}

/// Bytes of Keystone's answers that are kept, roughly.
const CAPACITY: u64 = 64 << 20;

/// What an entry costs besides the answer.
const OVERHEAD: u32 = 256;

/// How long a token stays refused. It could only become good if Keystone had been wrong.
const REFUSED: Duration = Duration::from_secs(30);

impl TokenCache {
    /// `seconds`: how long an answer is good: 0 for as long as the token, negative for not at all (`token_cache_time`).
    pub(super) fn new(validator: Validator, seconds: i64) -> Self {
        let entries = u64::try_from(seconds).ok().map(|seconds| {
            let longest = (seconds > 0).then(|| Duration::from_secs(seconds));
            Cache::builder()
                .max_capacity(CAPACITY)
                .weigher(|_, answer| weight(answer))
                .expire_after(Lifetime { longest })
                .build()
        });
        Self { validator, entries }
    }

    /// The token if it holds, `None` if it does not.
    pub(super) async fn look_up(
        &self,
        token: &HeaderValue,
        allow_expired: bool,
    ) -> Result<Option<Arc<Token>>, Arc<KeystoneError>> {
        let ask = self.validator.validate(token, allow_expired);
        let answer = match &self.entries {
            Some(entries) => {
                let key = Key { hash: Sha256::digest(token.as_bytes()).into(), allow_expired };
                match entries.get(&key).await {
                    Some(answer) => answer,
                    None => Box::pin(entries.try_get_with(key, ask)).await.map_err(Arc::unwrap_or_clone)?,
                }
            }
            None => Box::pin(ask).await?,
        };
        Ok(match answer {
            Validated::Known(token, _) if allow_expired || token.expires > OffsetDateTime::now_utc() => Some(token),
            Validated::Known(..) | Validated::Unknown => None,
        })
    }
}

fn weight(answer: &Validated) -> u32 {
    let bytes = match answer {
        // Parsed JSON is larger than its text.
        Validated::Known(_, size) => u32::try_from(size.saturating_mul(3)).unwrap_or(u32::MAX),
        Validated::Unknown => 0,
    };
    bytes.saturating_add(OVERHEAD)
}

#[derive(Debug)]
struct Lifetime {
    longest: Option<Duration>,
}

impl Expiry<Key, Validated> for Lifetime {
    fn expire_after_create(&self, key: &Key, answer: &Validated, _created: Instant) -> Option<Duration> {
        let natural = match answer {
            Validated::Unknown => Some(REFUSED),
            Validated::Known(token, _) => {
                // Negative for a token that has ended.
                let left = Duration::try_from(token.expires - OffsetDateTime::now_utc()).unwrap_or_default();
                let endless = key.allow_expired && left.is_zero();
                (!endless).then_some(left)
            }
        };
        [natural, self.longest].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(seconds_left: i64) -> Validated {
        let token = serde_json::json!({"expires_at": "2000-01-01T00:00:00Z", "user": {"id": "u"}});
        let mut token: Token = serde_json::from_value(token).unwrap();
        token.expires = OffsetDateTime::now_utc() + time::Duration::seconds(seconds_left);
        Validated::Known(Arc::new(token), 1000)
    }

    #[test]
    fn answers_live_as_long_as_they_may() {
        for (longest, answer, allow_expired, expected) in [
            (Some(300), known(1000), false, Some(300)),
            (Some(300), known(100), false, Some(100)),
            (None, known(1000), false, Some(1000)),
            (Some(300), known(-5), false, Some(0)),
            (Some(300), known(-5), true, Some(300)),
            (None, known(-5), true, None),
            (Some(300), Validated::Unknown, false, Some(30)),
            (Some(10), Validated::Unknown, false, Some(10)),
            (None, Validated::Unknown, true, Some(30)),
        ] {
            let lifetime = Lifetime { longest: longest.map(Duration::from_secs) };
            let key = Key { hash: [0; 32], allow_expired };
            let lives = lifetime.expire_after_create(&key, &answer, Instant::now());
            assert_eq!(lives.map(|lives| lives.as_secs_f64().round() as u64), expected, "{longest:?} {answer:?}");
        }
    }

    #[test]
    fn long_answers_weigh_more() {
        assert_eq!(weight(&known(1)), 3256);
        assert_eq!(weight(&Validated::Unknown), 256);
        assert_eq!(
            weight(&Validated::Known(
                Arc::new(
                    serde_json::from_str(r#"{"expires_at": "2000-01-01T00:00:00Z", "user": {"id": "u"}}"#).unwrap()
                ),
                usize::MAX
            )),
            u32::MAX
        );
    }
}
