//! Tasks of upstream's service that may still run when the next request is sent.
//!
//! Upstream marks expired tasks each time it lists some. On SQLite that locks the database for a moment, and a task that writes down at
//! that moment how far it is, or that it begins, fails: upstream does not repeat that write. (It repeats the one by which a task ends, so
//! that a case may wait for that in the list.) So no case lists tasks before an answer
//! has shown the end of all that were begun. Nor does a case write before that: who of the two finds the database locked is chance.
//! Both may be done while all tasks are at rest: a task that waits for data of which the web server holds a part back has nothing
//! to write down before it has more (`held`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{Answer, Request};

/// The paths that show which task has ended: its own, or that of an image, whose `os_glance_import_task` goes.
#[derive(Debug, Default)]
pub(crate) struct Running {
    shown_at: BTreeSet<String>,
    are_at_rest: bool,
}

impl Running {
    /// The one that was begun last waits for data. So do those from before, or one of them was let go meanwhile.
    pub(crate) fn rest(&mut self) {
        self.are_at_rest = true;
    }

    /// One of them gets its data.
    pub(crate) fn go_on(&mut self) {
        self.are_at_rest = false;
    }

    /// Where the end of one is to be waited for that may be writing.
    fn busy(&self) -> Option<&String> {
        self.shown_at.first().filter(|_| !self.are_at_rest)
    }

    fn begin(&mut self, shown_at: impl IntoIterator<Item = String>) {
        let before = self.shown_at.len();
        self.shown_at.extend(shown_at);
        self.are_at_rest &= self.shown_at.len() == before;
    }

    /// Why a request may not be sent yet.
    pub(crate) fn objection(&self, request: &Request) -> Option<String> {
        let first = self.busy()?;
        let lists = request.method == "GET" && path(request).ends_with("/tasks");
        lists.then(|| format!("order\n      it lists tasks while one may still run; wait for its end at {first}"))
    }

    /// Takes note of what upstream has answered. Gives why what was asked should have waited, if it has changed something.
    pub(crate) fn learn(&mut self, request: &Request, answer: &Answer) -> Option<String> {
        let only_reads = ["GET", "HEAD", "OPTIONS"].contains(&request.method.as_str());
        let has_written = !only_reads && (200..300).contains(&answer.status);
        let first = self.busy().filter(|_| has_written);
        let objection = first
            .map(|first| format!("order\n      it writes while a task may still run; wait for its end at {first}"));
        let document = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        match (request.method.as_str(), answer.status, path(request)) {
            ("POST", 201, tasks @ "/v2/tasks") => {
                self.begin(document["id"].as_str().map(|id| format!("{tasks}/{id}")));
            }
            ("POST", 202, asked) => {
                let images = [asked.strip_suffix("/import"), asked.strip_suffix("/locations")];
                self.begin(images.into_iter().flatten().map(str::to_owned));
            }
            ("GET", 200, shown) => {
                let is_held = document.get("os_glance_import_task").is_some();
                if !is_held && !["pending", "processing"].map(Value::from).contains(&document["status"]) {
                    self.shown_at.remove(shown);
                }
                // The last thing that a task does that fails. The image may be gone.
                if let ("failure", Some(image)) = (text(&document["status"]), document["image_id"].as_str()) {
                    self.shown_at.remove(&format!("/v2/images/{image}"));
                }
            }
            _ => {}
        }
        objection
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn path(request: &Request) -> &str {
    request.target.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.into(), ..Answer::default() }
    }

    #[test]
    fn while_a_task_may_run_cases_list_none() {
        let lists = ["/v2/tasks", "/v2/tasks?limit=1", "/v2/images/a/tasks"].map(|target| Request::new("GET", target));
        let others = [("PATCH", "/v2/images/b"), ("GET", "/v2/images/a"), ("POST", "/v2/tasks")];
        let others = others.map(|(method, target)| Request::new(method, target));
        for (begin, shows, runs, over) in [
            ("/v2/images/a/import", "/v2/images/a", "{\"os_glance_import_task\": \"t\", \"status\": \"active\"}", "{}"),
            (
                "/v2/images/a/locations",
                "/v2/images/a",
                "{\"os_glance_import_task\": \"t\"}",
                "{\"status\": \"active\"}",
            ),
            ("/v2/tasks", "/v2/tasks/t", "{\"status\": \"processing\"}", "{\"status\": \"failure\"}"),
        ] {
            let mut running = Running::default();
            let begin = Request::new("POST", begin);
            assert_eq!(running.learn(&begin, &answer(409, "{\"id\": \"t\"}")), None);
            assert_eq!(running.objection(&lists[0]), None, "it was refused");
            let begun = answer(if shows == "/v2/tasks/t" { 201 } else { 202 }, "{\"id\": \"t\"}");
            assert_eq!(running.learn(&begin, &begun), None);
            for (request, status) in others.iter().flat_map(|request| [(request, 200), (request, 409)]) {
                let writes = request.method != "GET" && status == 200;
                assert_eq!(running.learn(request, &answer(status, runs)).is_some(), writes, "{request:?} {status}");
            }
            let shows = Request::new("GET", shows);
            for answer in [answer(200, runs), answer(404, over)] {
                assert_eq!(running.learn(&shows, &answer), None);
                assert!(lists.iter().all(|request| running.objection(request).is_some()));
                assert!(others.iter().chain([&shows]).all(|request| running.objection(request).is_none()));
            }
            assert_eq!(running.learn(&Request::new("GET", "/v2/images/b"), &answer(200, over)), None);
            assert!(running.objection(&lists[0]).is_some(), "something else is over");
            assert_eq!(running.learn(&shows, &answer(200, over)), None);
            assert_eq!(running.objection(&lists[0]), None);
        }
    }
    #[test]
    fn while_all_tasks_are_at_rest_cases_list_and_write() {
        let (list, change) = (Request::new("GET", "/v2/tasks"), Request::new("PATCH", "/v2/images/b"));
        let (first, second) =
            (Request::new("POST", "/v2/images/a/import"), Request::new("POST", "/v2/images/c/import"));
        let mut running = Running::default();
        let mut objects = |does: &dyn Fn(&mut Running)| {
            does(&mut running);
            let writes = running.learn(&change, &answer(200, "{}")).is_some();
            (running.objection(&list).is_some(), writes)
        };
        assert_eq!(objects(&|running| drop(running.learn(&first, &answer(202, "{}")))), (true, true));
        assert_eq!(objects(&Running::rest), (false, false));
        assert_eq!(objects(&|running| drop(running.learn(&first, &answer(409, "{}")))), (false, false), "refused");
        assert_eq!(objects(&|running| drop(running.learn(&second, &answer(202, "{}")))), (true, true), "another one");
        assert_eq!(objects(&Running::rest), (false, false));
        assert_eq!(objects(&Running::go_on), (true, true));
        let show = |running: &mut Running, image, status| {
            let task = answer(200, &format!("{{\"image_id\": \"{image}\", \"status\": \"{status}\"}}"));
            assert_eq!(running.learn(&Request::new("GET", "/v2/tasks/t"), &task), None);
        };
        let failed = |image| move |running: &mut Running| show(running, image, "failure");
        assert_eq!(objects(&failed("a")), (true, true), "one of two is over");
        assert_eq!(objects(&|running| show(running, "c", "processing")), (true, true));
        assert_eq!(objects(&failed("c")), (false, false), "whose image is gone");
    }
}
