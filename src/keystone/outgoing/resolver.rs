use std::fmt::Debug;
use std::io;
use std::net::IpAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Turns host names into addresses.
pub trait Resolver: Debug + Send + Sync {
    /// The addresses of a name, the best ones first. A dot at its end keeps the search list of resolv.conf out.
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// getaddrinfo(3), as most programs on the machine use it.
#[derive(Debug)]
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let mut addresses = Vec::new();
            for found in tokio::net::lookup_host((name, 0)).await? {
                if !addresses.contains(&found.ip()) {
                    addresses.push(found.ip());
                }
            }
            Ok(addresses)
        }
        .boxed()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// Answers differently each time, whatever the name; the last answer stays.
    #[derive(Debug)]
    pub(crate) struct Changing(Mutex<VecDeque<Vec<IpAddr>>>);

    impl Changing {
        pub(crate) fn new(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Self {
            Self(Mutex::new(answers.into_iter().collect()))
        }
    }

    impl Resolver for Changing {
        fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            assert!(name.ends_with('.'), "{name} could be completed by the search list");
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            std::future::ready(Ok(answer.unwrap_or_default())).boxed()
        }
    }

    #[tokio::test]
    async fn the_system_knows_itself() {
        let found = SystemResolver.resolve("127.0.0.1".to_owned()).await.unwrap();
        assert_eq!(found, [IpAddr::from([127, 0, 0, 1])]);
        SystemResolver.resolve("no-such-host.invalid.".to_owned()).await.unwrap_err();
    }
}
