//! When the worker of a task counts as dead, and which tasks of such workers are being ended here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::PrimitiveDateTime;

use super::task::{TaskKind, TaskStatus};
use crate::db::clock;
use crate::db::tasks::Lease;
use crate::image::intent_log::Token;

/// How long the lease of a task must have been seen without a renewal for its worker to be dead. A worker renews it several times
/// meanwhile. Only the time that passes here counts, so that the clocks of hosts may differ.
pub(crate) const LEASE: Duration = Duration::from_secs(75);

/// How old the last renewal of a task must be, besides, where nobody here can tell a worker of ours that died from one of upstream's server,
/// which renews no task and may be at work: the task makes an image (see [`Reclaims::expired`]), or its image is deleted already, and its
/// message does not tell (see [`Lease`]). What others have ended, upstream's server cannot end any more: the image that it makes would be
/// there, and its task have failed.
pub(super) const SILENCE: time::Duration = time::Duration::days(1);

/// Longest time between two looks after which what was seen before still counts. While the database was away nobody could renew
/// anything.
const BLIND: Duration = Duration::from_secs(45);

/// Tasks that are ended at a time. Those that wait for a store which does not answer count until it does.
const MOST: usize = 64;

/// What a process knows of the leases of others, and what it does about them. Outlives a configuration.
#[derive(Debug, Default)]
pub(in crate::image) struct Reclaims {
    seen: Mutex<Seen>,
    under_way: Mutex<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Seen {
    leases: HashMap<String, Known>,
    /// When the leases were last read.
    at: Option<Instant>,
}

/// A lease as it was seen.
#[derive(Debug)]
struct Known {
    status: TaskStatus,
    renewed_at: PrimitiveDateTime,
    /// When it was first seen with the renewal that it has.
    since: Instant,
    /// Whether the task is one of a worker of ours, whatever has become of its image since. One that makes an image says so, or was seen
    /// renewed; one that has an image was seen to own its data. Upstream's server does neither, but says now and then how far an import is.
    is_ours: bool,
}

/// A task that is being ended; nobody else does so until this is dropped.
pub(super) struct Ending {
    reclaims: Arc<Reclaims>,
    task: String,
}

impl Reclaims {
    /// Takes note of all leases, and gives the tasks of which none was renewed for the time of one. `asked`, `answered`: when the
    /// leases were read.
    pub(super) fn expired(&self, leases: Vec<Lease>, asked: Instant, answered: Instant) -> Vec<String> {
        let mut seen = lock(&self.seen);
        let was_blind = seen.at.is_none_or(|at| asked.saturating_duration_since(at) >= BLIND);
        let mut now = HashMap::with_capacity(leases.len());
        let mut expired = Vec::new();
        for Lease { task, kind, status, renewed_at, owner, makes_image_for_us } in leases {
            let status = TaskStatus::from(status.as_str());
            let makes_image = TaskKind::from(kind.as_str()) == TaskKind::Import;
            let former = seen.leases.get(&task);
            let unchanged = former.filter(|former| former.status == status);
            let same = unchanged.filter(|former| former.renewed_at == renewed_at);
            let since = same.filter(|_| !was_blind).map_or(answered, |same| same.since);
            let is_renewed = makes_image && unchanged.is_some() && same.is_none();
            let owns = owner.is_some_and(|owner| Token::of_task(&task).is_or_precedes(&owner));
            let is_ours = makes_image_for_us || is_renewed || owns || former.is_some_and(|former| former.is_ours);
            let is_silent = asked.saturating_duration_since(since) >= LEASE;
            if is_silent && (!makes_image || is_ours || clock::now() - renewed_at >= SILENCE) {
                expired.push(task.clone());
            }
            now.insert(task, Known { status, renewed_at, since, is_ours });
        }
        *seen = Seen { leases: now, at: Some(answered) };
        expired
    }

    /// Whether a worker of ours has, or had, a task.
    pub(super) fn is_ours(&self, task: &str) -> bool {
        lock(&self.seen).leases.get(task).is_some_and(|known| known.is_ours)
    }

    /// Whether some worker may still have a task: its lease was not seen unrenewed for long enough.
    pub(super) fn may_be_alive(&self, task: &str, now: Instant) -> bool {
        let seen = lock(&self.seen);
        seen.leases.get(task).is_none_or(|known| now.saturating_duration_since(known.since) < LEASE)
    }

    /// Takes a task for one of ours from now on, whoever has it.
    pub(super) fn adopt(&self, task: &str) {
        if let Some(known) = lock(&self.seen).leases.get_mut(task) {
            known.is_ours = true;
        }
    }

    /// The right to end a task; `None` while that goes on already, or while enough others are ended.
    pub(super) fn begin(self: &Arc<Self>, task: &str) -> Option<Ending> {
        let mut under_way = lock(&self.under_way);
        let is_free = under_way.len() < MOST && under_way.insert(task.to_owned());
        is_free.then(|| Ending { reclaims: Arc::clone(self), task: task.to_owned() })
    }

    /// The tasks that are being ended. Their leases are to be renewed: else another host begins, too, and what is removed here late
    /// may be new by then.
    pub(super) fn under_way(&self) -> Vec<String> {
        lock(&self.under_way).iter().cloned().collect()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        lock(&self.reclaims.under_way).remove(&self.task);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn lease(task: &str, kind: &str, renewed_at: PrimitiveDateTime) -> Lease {
        let (task, kind, status) = (task.to_owned(), kind.to_owned(), "processing".to_owned());
        Lease { task, kind, status, renewed_at, owner: None, makes_image_for_us: false }
    }

    /// Upstream's server changes the row of a task, too, when it says how far that is.
    #[test]
    fn a_task_is_ours_once_it_was_seen_to_own_its_images_data() {
        let (reclaims, begin) = (Reclaims::default(), Instant::now());
        let look = |seconds: u32, owner: Option<&str>| {
            let at = begin + Duration::from_secs(seconds.into());
            let renewed_at = datetime!(2020-01-01 0:00) + time::Duration::seconds(seconds.into());
            let owned = Lease { owner: owner.map(str::to_owned), ..lease("owned", "api_image_import", renewed_at) };
            reclaims.expired(vec![owned, lease("theirs", "api_image_import", renewed_at)], at, at);
            [reclaims.is_ours("owned"), reclaims.is_ours("theirs")]
        };
        assert_eq!(look(0, Some("another")), [false, false]);
        assert_eq!(look(20, None), [false, false]);
        assert_eq!(look(40, Some("owned/host/one")), [true, false]);
        assert_eq!(look(60, Some("another")), [true, false], "somebody else has taken it");
        assert_eq!(look(600, None), [true, false], "the database was away");
    }

    #[test]
    fn a_task_that_makes_an_image_is_dead_after_a_day_unless_it_is_known_for_one_of_ours() {
        let (reclaims, begin) = (Reclaims::default(), Instant::now());
        let (now, old) = (clock::now(), datetime!(2020-01-01 0:00));
        let look = |seconds, ours, begun: &str| {
            let at = begin + Duration::from_secs(seconds);
            let hours_ago = now - time::Duration::hours(23);
            let leases = [("theirs", hours_ago), ("ours", ours), ("old", old), ("begun", now), ("told", hours_ago)];
            let mut leases = leases.map(|(task, renewed_at)| lease(task, "import", renewed_at));
            leases[3].status = begun.to_owned();
            leases[3].renewed_at += time::Duration::seconds(i64::from(begun == "processing"));
            leases[4].makes_image_for_us = true;
            reclaims.expired(leases.to_vec(), at, at)
        };
        let none: [&str; 0] = [];
        let renewed = now + time::Duration::seconds(15);
        assert_eq!(look(0, now, "pending"), none);
        assert_eq!(look(20, renewed, "processing"), none);
        assert_eq!(look(60, renewed, "processing"), none);
        assert_eq!(look(75, renewed, "processing"), ["old", "told"]);
        assert_eq!(look(95, renewed, "processing"), ["ours", "old", "told"]);
        assert_eq!(look(135, renewed, "processing"), ["ours", "old", "told"], "a task that has begun was not renewed");
    }

    #[test]
    fn a_worker_is_dead_when_its_lease_was_seen_unrenewed_for_the_time_of_one() {
        let (reclaims, begin) = (Reclaims::default(), Instant::now());
        let (long_ago, later) = (datetime!(2020-01-01 0:00), datetime!(2999-01-01 0:00));
        let look = |seconds, leases: &[(&str, PrimitiveDateTime)]| {
            let at = begin + Duration::from_secs(seconds);
            let lease = |&(task, renewed_at): &(&str, PrimitiveDateTime)| lease(task, "api_image_import", renewed_at);
            reclaims.expired(leases.iter().map(lease).collect(), at, at)
        };
        let none: [&str; 0] = [];
        // Whatever the clock of its host says.
        assert_eq!(look(0, &[("dead", long_ago), ("ahead", later), ("alive", long_ago)]), none);
        assert_eq!(look(40, &[("dead", long_ago), ("ahead", later), ("alive", later)]), none);
        assert_eq!(look(74, &[("dead", long_ago), ("ahead", later), ("new", long_ago), ("alive", later)]), none);
        assert_eq!(look(75, &[("dead", long_ago), ("ahead", later), ("alive", later)]), ["dead", "ahead"]);
        // One that has ended is forgotten.
        assert_eq!(look(114, &[("alive", later), ("new", long_ago)]), none);
        assert_eq!(look(115, &[("alive", later), ("dead", long_ago)]), ["alive"]);
        assert_eq!(reclaims.seen.lock().unwrap().leases.len(), 2);
    }

    #[test]
    fn while_the_database_was_away_nobody_was_seen_dead() {
        let (reclaims, begin) = (Reclaims::default(), Instant::now());
        let look = |seconds| {
            let at = begin + Duration::from_secs(seconds);
            let lease = lease("alive", "api_image_import", datetime!(2020-01-01 0:00));
            reclaims.expired(vec![lease], at, at)
        };
        let (none, may_be_alive) =
            ([""; 0], |seconds| reclaims.may_be_alive("alive", begin + Duration::from_secs(seconds)));
        assert!(may_be_alive(0), "nobody has looked");
        assert_eq!(look(0), none);
        assert_eq!(look(80), none);
        assert_eq!(look(120), none);
        assert!(may_be_alive(154) && !may_be_alive(155));
        assert_eq!(look(155), ["alive"]);
    }

    #[test]
    fn a_task_is_ended_once_at_a_time_and_not_too_many_are() {
        let reclaims = Arc::new(Reclaims::default());
        let first = reclaims.begin("a").unwrap();
        assert!(reclaims.begin("a").is_none());
        assert_eq!(reclaims.under_way(), ["a"]);
        drop(first);
        let endings: Vec<Ending> = (0..MOST).filter_map(|task| reclaims.begin(&task.to_string())).collect();
        assert_eq!(endings.len(), MOST);
        assert!(reclaims.begin("a").is_none());
        drop(endings);
        assert!(reclaims.begin("a").is_some() && reclaims.under_way().is_empty());
    }
}
