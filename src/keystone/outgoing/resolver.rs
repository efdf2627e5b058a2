//! How names of hosts become addresses.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Look-ups at a time. Each has a thread to itself until name servers answer, however long its caller waits, and whoever writes URLs chooses
/// the name servers: no more threads than these are theirs, as requests need them as well.
const AT_A_TIME: usize = 32;

/// Turns host names into addresses.
pub trait Resolver: Debug + Send + Sync {
    /// The addresses of a name, the best ones first. A dot at its end keeps the search list of resolv.conf out.
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// getaddrinfo(3), as most programs on the machine use it. Where too much is looked up, names wait for their turn.
#[derive(Debug)]
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        static PLACES: Semaphore = Semaphore::const_new(AT_A_TIME);
        in_turn(&PLACES, move || look_up(&name)).boxed()
    }
}

/// Does what blocks, in one of these places. It is taken until that has ended, also when nobody waits for it any more.
async fn in_turn<T: Send + 'static>(
    places: &'static Semaphore,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = places.acquire().await.map_err(io::Error::other)?;
    let worked = spawn_blocking(move || {
        let _place = place;
        work()
    });
    worked.await.map_err(io::Error::other)?
}

/// Blocks.
fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for found in (name, 0).to_socket_addrs()? {
        if !addresses.contains(&found.ip()) {
            addresses.push(found.ip());
        }
    }
    Ok(addresses)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use tokio::time::timeout;

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

    #[tokio::test]
    async fn look_ups_that_nobody_waits_for_keep_their_places_until_they_end() {
        static PLACES: Semaphore = Semaphore::const_new(2);
        const PATIENCE: Duration = Duration::from_secs(20);
        let (begun, beginnings) = mpsc::channel();
        let mut go_on = Vec::new();
        for _ in 0..2 {
            let (told, (go, wait)) = (begun.clone(), mpsc::channel::<()>());
            let mut slow = Box::pin(in_turn(&PLACES, move || {
                told.send(()).unwrap();
                wait.recv().map_err(io::Error::other)
            }));
            assert!(futures_util::poll!(&mut slow).is_pending());
            beginnings.recv_timeout(PATIENCE).unwrap();
            go_on.push(go);
        }
        // Whoever asked for these two is gone, and a third gets none of the threads.
        let mut third = Box::pin(in_turn(&PLACES, || Ok("third")));
        assert!(futures_util::poll!(&mut third).is_pending());
        assert_eq!(PLACES.available_permits(), 0);
        go_on[0].send(()).unwrap();
        assert_eq!(timeout(PATIENCE, third).await.unwrap().unwrap(), "third");
        assert!(timeout(PATIENCE, PLACES.acquire()).await.unwrap().is_ok());
        drop(go_on);
        let both = timeout(PATIENCE, PLACES.acquire_many(2)).await;
        assert!(both.unwrap().is_ok());
    }
}
