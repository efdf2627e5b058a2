//! The commands of `glance-cache-manage`, in upstream's words (`glance/cmd/cache_manage.py`).

use std::fmt::Display;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use time::OffsetDateTime;
use uuid::Uuid;

use super::arguments::Line;
use super::client::{AskError, CachedImage, Client};
use super::table::{Align, Column, table};
use super::{DONE, FAILURE, Status, runtime, say_to_stderr};
use crate::manage::console::say;
use crate::sys::causes::ErrorWithCauses;

/// A command as it is named, what the list of commands and its own help say of it, and what it is called when it fails.
struct Description {
    command: Command,
    name: &'static str,
    about: &'static str,
    /// The help's lines: usage, and what it does.
    help: [&'static str; 2],
    failed: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Help,
    ListCached,
    ListQueued,
    QueueImage,
    DeleteCachedImage,
    DeleteAllCachedImages,
    DeleteQueuedImage,
    DeleteAllQueuedImages,
}

const COMMANDS: [Description; 8] = [
    Description {
        command: Command::Help,
        name: "help",
        about: "Output help for one of the commands below",
        help: ["", "Print help specific to a command"],
        failed: "",
    },
    Description {
        command: Command::ListCached,
        name: "list-cached",
        about: "List all images currently cached",
        help: ["list-cached [options]", "List all images currently cached."],
        failed: "show cached images",
    },
    Description {
        command: Command::ListQueued,
        name: "list-queued",
        about: "List all images currently queued for caching",
        help: ["list-queued [options]", "List all images currently queued for caching."],
        failed: "show queued images",
    },
    Description {
        command: Command::QueueImage,
        name: "queue-image",
        about: "Queue an image for caching",
        help: ["queue-image <IMAGE_ID> [options]", "Queues an image for caching."],
        failed: "queue the specified image for caching",
    },
    Description {
        command: Command::DeleteCachedImage,
        name: "delete-cached-image",
        about: "Purges an image from the cache",
        help: ["delete-cached-image <IMAGE_ID> [options]", "Deletes an image from the cache."],
        failed: "delete the specified cached image",
    },
    Description {
        command: Command::DeleteAllCachedImages,
        name: "delete-all-cached-images",
        about: "Removes all images from the cache",
        help: ["delete-all-cached-images [options]", "Remove all images from the cache."],
        failed: "Delete all cached images",
    },
    Description {
        command: Command::DeleteQueuedImage,
        name: "delete-queued-image",
        about: "Deletes an image from the cache queue",
        help: ["delete-queued-image <IMAGE_ID> [options]", "Deletes an image from the cache."],
        failed: "delete the specified queued image",
    },
    Description {
        command: Command::DeleteAllQueuedImages,
        name: "delete-all-queued-images",
        about: "Deletes all images from the cache queue",
        help: ["delete-all-queued-images [options]", "Remove all images from the cache queue."],
        failed: "Delete all queued images",
    },
];

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The image's id is missing, too much or none.
    #[error("{0}")]
    Usage(String),
    #[error("list index out of range")]
    Missing,
    #[error("EOF when reading a line")]
    NoAnswer,
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

/// Does what the line says.
pub(super) fn run(line: &Line) -> Status {
    let name = line.command.first().map(String::as_str).unwrap_or_default();
    let argument = line.command.get(1).map(String::as_str);
    if name == "help" && argument.is_none() {
        let _ = Line::command_line().print_help();
        return DONE;
    }
    let described = |name: &str| COMMANDS.iter().find(|known| known.name == name);
    let known = match (described(name), argument) {
        (Some(Description { command: Command::Help, .. }), Some(topic)) => match described(topic) {
            Some(topic) => {
                say(topic.help());
                return DONE;
            }
            None => return unknown(topic),
        },
        (Some(known), _) => known,
        (None, _) => return unknown(name),
    };
    let started = Instant::now();
    let status = match perform(known.command, line) {
        Ok(()) => DONE,
        Err(failure) => {
            tell(&failure, known, line);
            FAILURE
        }
    };
    if line.verbose {
        say(format_args!("Completed in {:.4} sec.", started.elapsed().as_secs_f64()));
    }
    status
}

fn unknown(name: &str) -> Status {
    say(format_args!("\nError: \"{name}\" is not a valid command.\n"));
    say(list());
    say_to_stderr(format_args!("Unknown command: {name}"));
    FAILURE
}

/// All commands, as the help lists them.
fn list() -> String {
    let line = |known: &Description| {
        let name = if known.name == "help" { "help <command>" } else { known.name };
        format!("    {name:<28}{}\n\n", known.about)
    };
    format!("Commands:\n\n{}", COMMANDS.iter().map(line).collect::<String>())
}

impl Description {
    /// With the indentation that it has in upstream's source.
    fn help(&self) -> String {
        match self.help {
            ["", does] => format!("\n    {does}\n    "),
            [usage, does] => format!("glance-cache-manage {usage}\n\n    {does}\n    "),
        }
    }
}

fn tell(failure: &Failure, known: &Description, line: &Line) {
    match failure {
        Failure::Usage(text) => say(text),
        Failure::Ask(AskError::NotFound) => {
            say(format_args!("Cache management middleware not enabled on host {}", line.host));
        }
        Failure::Ask(AskError::Forbidden) => say("Not authorized to make this request."),
        other => say(format_args!("Failed to {}. Got error:\n{other}", known.failed)),
    }
    if line.debug {
        say_to_stderr(ErrorWithCauses(failure));
    }
}

fn perform(command: Command, line: &Line) -> Result<(), Failure> {
    let image = || image_of(line);
    let (question, image) = match command {
        Command::Help | Command::ListCached | Command::ListQueued => (None, String::new()),
        Command::QueueImage => (Some(format!("Queue image {} for caching?", image()?)), image()?),
        Command::DeleteCachedImage => (Some(format!("Delete cached image {}?", image()?)), image()?),
        Command::DeleteQueuedImage => (Some(format!("Delete queued image {}?", image()?)), image()?),
        Command::DeleteAllCachedImages => (Some("Delete all cached images?".to_owned()), String::new()),
        Command::DeleteAllQueuedImages => (Some("Delete all queued images?".to_owned()), String::new()),
    };
    if let Some(question) = question.filter(|_| !line.force)
        && !confirm(&question)?
    {
        return Ok(());
    }
    let client = Client::new(line, line.account.credentials(|name| std::env::var(name).ok()))?;
    runtime().map_err(Failure::Runtime)?.block_on(ask(command, &client, &image, line.verbose))
}

async fn ask(command: Command, client: &Client, image: &str, verbose: bool) -> Result<(), Failure> {
    let told = |text: &dyn Display| {
        if verbose {
            say(text);
        }
    };
    match command {
        Command::Help => {}
        Command::ListCached => say(cached(&client.cached().await?)),
        Command::ListQueued => say(queued(client.queued().await?)),
        Command::QueueImage => {
            client.queue(image).await?;
            told(&format_args!("Queued image {image} for caching"));
        }
        Command::DeleteCachedImage => {
            client.delete_cached(image).await?;
            told(&format_args!("Deleted cached image {image}"));
        }
        Command::DeleteQueuedImage => {
            client.delete_queued(image).await?;
            told(&format_args!("Deleted queued image {image}"));
        }
        Command::DeleteAllCachedImages => {
            let deleted = client.delete_all_cached().await?;
            told(&format_args!("Deleted {deleted} cached images"));
        }
        Command::DeleteAllQueuedImages => {
            let deleted = client.delete_all_queued().await?;
            told(&format_args!("Deleted {deleted} queued images"));
        }
    }
    Ok(())
}

/// The image that the command is about. Upstream takes every form that Python's `uuid.UUID` does, and sends it as it is.
fn image_of(line: &Line) -> Result<String, Failure> {
    match line.command.as_slice() {
        [_, id] if is_uuid(id) => Ok(id.clone()),
        [_, id] => Err(Failure::Usage(format!("Image ID '{id}' is not a valid UUID."))),
        [command, _, ..] => Err(Failure::Usage(format!(
            "Please specify the ID of the image you wish for command '{command}' from the cache as the first and only argument."
        ))),
        _ => Err(Failure::Missing),
    }
}

fn is_uuid(text: &str) -> bool {
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let digits = bare.trim_matches(['{', '}']).replace('-', "");
    digits.len() == 32 && Uuid::try_parse(&digits).is_ok()
}

/// Asks whoever sits there; no is what an empty answer means.
fn confirm(question: &str) -> Result<bool, Failure> {
    let mut output = std::io::stdout();
    let _ = write!(output, "{question} [y/N] ").and_then(|()| output.flush());
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(0) | Err(_) => Err(Failure::NoAnswer),
        Ok(_) => Ok(["yes", "y"].contains(&answer.trim_end_matches(['\n', '\r']).to_lowercase().as_str())),
    }
}

fn cached(images: &[CachedImage]) -> String {
    if images.is_empty() {
        return "No cached images.".to_owned();
    }
    let columns: [Column; 5] = [
        ("ID", Align::Center),
        ("Last Accessed (UTC)", Align::Center),
        ("Last Modified (UTC)", Align::Center),
        ("Size", Align::Right),
        ("Hits", Align::Right),
    ];
    let row = |image: &CachedImage| {
        let accessed = if image.last_accessed == 0.0 { "N/A".to_owned() } else { moment(image.last_accessed) };
        [image.image_id.clone(), accessed, moment(image.last_modified), image.size.to_string(), image.hits.to_string()]
    };
    let rows: Vec<_> = images.iter().map(row).collect();
    format!("Found {} cached images...\n{}", images.len(), table(columns, &rows))
}

fn queued(images: Vec<String>) -> String {
    if images.is_empty() {
        return "No queued images.".to_owned();
    }
    let rows: Vec<_> = images.into_iter().map(|id| [id]).collect();
    format!("Found {} queued images...\n{}", rows.len(), table([("ID", Align::Center)], &rows))
}

/// Seconds since 1970 as Python's `isoformat` writes them: microseconds are there when there are any.
fn moment(seconds: f64) -> String {
    // The fraction by itself, as Python does it: it has more digits so.
    let micros = (seconds.fract() * 1e6).round_ties_even() as i128;
    let nanoseconds = (seconds.trunc() as i128).saturating_mul(1_000_000).saturating_add(micros).saturating_mul(1000);
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds) else { return seconds.to_string() };
    let (date, micros) = (time.date(), time.microsecond());
    let text = format!("{date}T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    if micros == 0 { text } else { format!("{text}.{micros:06}") }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn line(words: &str) -> Line {
        let words = std::iter::once("glance-cache-manage").chain(words.split_whitespace());
        Line::parse(words.map(OsString::from).collect()).unwrap()
    }

    #[test]
    fn an_image_is_named_by_its_id_alone() {
        let id = "0a0a0a0a-0000-4000-8000-00000000000a";
        assert_eq!(image_of(&line(&format!("queue-image {id}"))).unwrap(), id);
        let text = |words: &str| image_of(&line(words)).unwrap_err().to_string();
        assert_eq!(text("queue-image x"), "Image ID 'x' is not a valid UUID.");
        assert_eq!(text("queue-image"), "list index out of range");
        assert!(text(&format!("queue-image {id} {id}")).starts_with("Please specify the ID of the image you wish for"));
        for (text, expected) in [
            ("{0a0a0a0a-0000-4000-8000-00000000000a}", true),
            ("urn:uuid:0a0a0a0a000040008000-00000000000A", true),
            ("0a0a0a0a-0000-4000-8000-00000000000", false),
            ("0a0a0a0a-0000-4000-8000-00000000000g", false),
            ("", false),
        ] {
            assert_eq!(is_uuid(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_python_writes_them() {
        assert_eq!(moment(1_700_000_000.0), "2023-11-14T22:13:20");
        assert_eq!(moment(1_700_000_000.000_012), "2023-11-14T22:13:20.000012");
        assert_eq!(moment(1_730_461_757.393_775_5), "2024-11-01T11:49:17.393775");
        assert_eq!(moment(1e300), 1e300.to_string());
    }

    #[test]
    fn times_are_read_to_their_last_digit() {
        let of = |seconds: &str| moment(serde_json::from_str(seconds).unwrap());
        assert_eq!(of("1795994090.4909955"), "2026-11-29T23:14:50.490995");
        assert_eq!(of("1795994090.4909965"), "2026-11-29T23:14:50.490997");
    }

    #[test]
    fn lists_are_tables() {
        assert_eq!(queued(Vec::new()), "No queued images.");
        let expected = "Found 2 queued images...\n+----+\n| ID |\n+----+\n| a  |\n| bc |\n+----+";
        assert_eq!(queued(vec!["a".to_owned(), "bc".to_owned()]), expected);
        assert_eq!(cached(&[]), "No cached images.");
        let (image_id, last_modified) = ("i".to_owned(), 1_700_000_000.0);
        let drawn = cached(&[CachedImage { image_id, last_accessed: 0.0, last_modified, size: 12_345, hits: 1 }]);
        let expected = "Found 1 cached images...\n\
             +----+---------------------+---------------------+-------+------+\n\
             | ID | Last Accessed (UTC) | Last Modified (UTC) |  Size | Hits |\n\
             +----+---------------------+---------------------+-------+------+\n\
             | i  |         N/A         | 2023-11-14T22:13:20 | 12345 |    1 |\n\
             +----+---------------------+---------------------+-------+------+";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn every_command_is_described() {
        assert!(
            list().starts_with(
                "Commands:\n\n    help <command>              Output help for one of the commands below\n\n"
            )
        );
        for known in &COMMANDS[1..] {
            assert!(known.help().contains(known.name) && !known.failed.is_empty(), "{}", known.name);
        }
    }
}
