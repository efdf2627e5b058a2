//! qemu-img(1) as a child that cannot hang, nor eat memory, processor time or disk.

use std::cmp::Reverse;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::warn;

use super::interrupt::Interrupt;
use super::outcome::{Percent, PluginError};
use crate::sys::child::{ChildLimits, limit, processor_time};

/// How long a look at the child waits for output.
const LOOK: u16 = 100;
/// Bytes of the child's output that are kept.
const KEPT: usize = 1 << 20;
/// Letters of its complaints that a task tells.
const TOLD: usize = 1000;

/// The program, and what one run may take.
#[derive(Clone, Debug)]
pub(super) struct QemuImg {
    pub(super) program: PathBuf,
    pub(super) limits: ChildLimits,
    /// Time by the clock.
    pub(super) patience: Duration,
}

impl QemuImg {
    /// What `qemu-img info` says of a file, which is taken for `format` whatever its content.
    ///
    /// # Errors
    /// [`PluginError::Program`] also when it has any complaint, those of [`Interrupt::check`].
    pub(super) fn info(&self, format: &str, path: &Path, interrupt: &Interrupt) -> Result<Vec<u8>, PluginError> {
        let mut command = self.command();
        command.args(["info", "-f", format, "--output=json"]).arg(path);
        self.run(command, &[path], interrupt, &|_| ())
    }

    /// Writes the content of `source` to `target` in another format.
    ///
    /// # Errors
    /// As [`QemuImg::info`]; a part of the target may be there.
    pub(super) fn convert(
        &self,
        (from, source): (&str, &Path),
        (to, target): (&str, &Path),
        interrupt: &Interrupt,
        progress: &dyn Fn(Percent),
    ) -> Result<(), PluginError> {
        let mut command = self.command();
        command.args(["convert", "-p", "-f", from, "-O", to]).arg(source).arg(target);
        let mut shown = None;
        let told = std::cell::RefCell::new(&mut shown);
        self.run(command, &[source, target], interrupt, &|output| {
            let percent = percent(output);
            let mut shown = told.borrow_mut();
            if percent.is_some() && percent != **shown {
                **shown = percent;
                percent.into_iter().for_each(progress);
            }
        })?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Messages are read; nothing of the service's environment is needed.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").current_dir("/");
        limit(&mut command, self.limits);
        command
    }

    /// Gives what the child wrote to its standard output. `look` sees all of that each time there is more. `files`:
    /// those on which the child works.
    fn run(
        &self,
        mut command: Command,
        files: &[&Path],
        interrupt: &Interrupt,
        look: &dyn Fn(&[u8]),
    ) -> Result<Vec<u8>, PluginError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .map_err(|error| PluginError::Program(format!("{} cannot be run: {error}", self.program.display())))?;
        let mut running = Running(child);
        let (output, complaints, status) = running.watch(self, interrupt, look)?;
        let complaints = String::from_utf8_lossy(&complaints).trim().to_owned();
        if !complaints.is_empty() {
            warn!(?files, complaints, "qemu-img complains");
            return Err(PluginError::Program(without_folders(&complaints, files).chars().take(TOLD).collect()));
        }
        if !status.success() {
            return Err(PluginError::Program(format!("{} failed: {status}", self.program.display())));
        }
        Ok(output)
    }
}

/// The text with nothing but the names of these files: the image's owner reads it, and need not know where they are.
fn without_folders(text: &str, files: &[&Path]) -> String {
    // The root says nothing, and its name is a part of all others.
    let folders = files.iter().filter_map(|file| file.parent()).filter(|folder| folder.parent().is_some());
    let mut folders: Vec<String> = folders.map(|folder| format!("{}/", folder.display())).collect();
    // One may lie in another.
    folders.sort_by_key(|folder| Reverse(folder.len()));
    folders.iter().fold(text.to_owned(), |text, folder| text.replace(folder.as_str(), ""))
}

/// A child that ends when it is dropped.
struct Running(Child);

impl Running {
    fn watch(
        &mut self,
        program: &QemuImg,
        interrupt: &Interrupt,
        look: &dyn Fn(&[u8]),
    ) -> Result<(Vec<u8>, Vec<u8>, ExitStatus), PluginError> {
        let failed = || PluginError::io("watching qemu-img");
        let (mut stdout, mut stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let begun = Instant::now();
        let (mut output, mut complaints) = (Vec::new(), Vec::new());
        let mut worked = 0;
        loop {
            interrupt.check()?;
            if begun.elapsed() > program.patience {
                let seconds = program.patience.as_secs();
                return Err(PluginError::Program(format!("qemu-img did not end within {seconds} s and was killed")));
            }
            let status = self.0.try_wait().map_err(failed())?;
            if status.is_none() {
                wait_for_output(stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd));
                // It tells whole percents, and of a large disk one may take minutes. A child that waits for a disk that
                // hangs uses no time, and one that turns in circles ends at its limit.
                let now = processor_time(&self.0).map_or(worked, |time| time.as_millis());
                interrupt.went_on(u64::try_from(now.saturating_sub(worked)).unwrap_or(0));
                worked = now;
            }
            let before = output.len();
            drain(&mut stdout, &mut output).map_err(failed())?;
            drain(&mut stderr, &mut complaints).map_err(failed())?;
            if output.len() > before {
                look(&output);
            }
            if let Some(status) = status {
                return Ok((output, complaints, status));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended, both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until one of them has something to read, or a moment has passed.
fn wait_for_output(stdout: Option<std::os::fd::BorrowedFd<'_>>, stderr: Option<std::os::fd::BorrowedFd<'_>>) {
    let mut waiting: Vec<PollFd<'_>> =
        [stdout, stderr].into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
    // Whatever it says, the pipes are read next. Without any, it waits all the same.
    let _ = poll(&mut waiting, PollTimeout::from(LOOK));
}

/// Reads what is there; at its end the pipe goes.
fn drain<P: Read + AsFd>(pipe: &mut Option<P>, into: &mut Vec<u8>) -> std::io::Result<()> {
    let Some(open) = pipe else { return Ok(()) };
    fcntl(open.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut piece = [0; 4096];
    loop {
        match open.read(&mut piece) {
            Ok(0) => {
                *pipe = None;
                return Ok(());
            }
            Ok(length) => {
                let room = KEPT.saturating_sub(into.len()).min(length);
                into.extend_from_slice(piece.get(..room).unwrap_or_default());
                if length > room {
                    return Err(std::io::Error::other("qemu-img says too much"));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The last of texts such as `(12.34/100%)`.
fn percent(output: &[u8]) -> Option<Percent> {
    let recent = output.get(output.len().saturating_sub(64)..).unwrap_or_default();
    let text = String::from_utf8_lossy(recent);
    let (before, _) = text.rsplit_once("/100%)")?;
    let (_, number) = before.rsplit_once('(')?;
    let whole: u8 = number.split('.').next()?.trim().parse().ok()?;
    Some(Percent(whole.min(100)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use super::super::interrupt::InterruptOnDrop;
    use super::*;
    use crate::task::headway::Headway;
    use crate::task::import::progress::Progress;

    /// A script in the place of the program.
    fn program(folder: &Path, script: &str) -> QemuImg {
        let path = folder.join("qemu-img");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let limits = ChildLimits { memory: 1 << 30, cpu: 10, file: 1 << 30 };
        QemuImg { program: path, limits, patience: Duration::from_secs(20) }
    }

    fn told(result: Result<Vec<u8>, PluginError>) -> String {
        match result {
            Ok(output) => format!("ok {}", String::from_utf8_lossy(&output).trim()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_it_says_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let missing = QemuImg { program: "/nowhere/qemu-img".into(), ..program(folder, "") };
        let never = Interrupt::default();
        let info = |qemu: &QemuImg| told(qemu.info("qcow2", Path::new("/data"), &never));
        assert_eq!(info(&missing), "/nowhere/qemu-img cannot be run: No such file or directory (os error 2)");
        let echo = program(folder, "echo \"$@\"; env | grep -c . >/dev/null");
        assert_eq!(info(&echo), "ok info -f qcow2 --output=json /data");
        assert_eq!(info(&program(folder, "echo bad >&2")), "bad");
        assert!(info(&program(folder, "exit 3")).ends_with("failed: exit status: 3"));
        assert_eq!(info(&program(folder, "yes")), "watching qemu-img: qemu-img says too much");
    }

    #[test]
    fn the_folders_of_this_host_are_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("image"), folder.path().join("inner").join("image.raw"));
        let failing = program(folder.path(), "shift 6; echo \"no '$1': cannot write '$2'\" >&2");
        let never = Interrupt::default();
        let error = failing.convert(("qcow2", &source), ("raw", &target), &never, &|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "no 'image': cannot write 'image.raw'");
        let failing = program(folder.path(), "shift 4; echo \"no '$1'\" >&2; exit 1");
        assert_eq!(told(failing.info("qcow2", &source, &never)), "no 'image'");
        // Where a long text is cut, no part of a folder is left.
        let failing = program(folder.path(), &format!("shift 4; echo \"{}$1\" >&2", "x".repeat(TOLD - 3)));
        assert!(told(failing.info("qcow2", &source, &never)).ends_with("xxima"));
        // Neither a file in the root nor one without a folder takes anything away from other names.
        for file in ["/data", "data"] {
            let text = "no '/data' in '/dev/x'";
            assert_eq!(without_folders(text, &[Path::new(file)]), text);
        }
    }

    #[test]
    fn one_that_hangs_or_that_nobody_waits_for_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 600", pid.display());
        let is_gone = || {
            let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
        };
        let hanging = QemuImg { patience: Duration::from_millis(900), ..program(folder.path(), &script) };
        let headway = Headway::default();
        let never = Interrupt::of(&Progress::of(&headway));
        let text = told(hanging.info("raw", Path::new("/data"), &never));
        assert_eq!(text, "qemu-img did not end within 0 s and was killed");
        assert!(headway.so_far() < 450, "{headway:?}");
        assert!(is_gone());

        let patient = QemuImg { patience: Duration::from_secs(60), ..hanging };
        let interrupt = Interrupt::default();
        let before = fs::read_to_string(&pid).unwrap();
        let guard = InterruptOnDrop(interrupt.clone());
        let working = std::thread::spawn(move || told(patient.info("raw", Path::new("/data"), &interrupt)));
        while fs::read_to_string(&pid).map_or(true, |text| text.is_empty() || text == before) {
            std::thread::yield_now();
        }
        drop(guard);
        assert_eq!(working.join().unwrap(), "the work was interrupted");
        assert!(is_gone());
    }

    #[test]
    fn one_that_eats_time_or_disk_is_ended_by_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let headway = Headway::default();
        let never = Interrupt::of(&Progress::of(&headway));
        let busy = program(folder.path(), "while :; do :; done");
        let busy = QemuImg { limits: ChildLimits { cpu: 1, ..busy.limits }, ..busy };
        let text = told(busy.info("raw", Path::new("/data"), &never));
        assert!(text.contains("signal: 24") || text.contains("signal: 9"), "{text}");
        assert!((500..2000).contains(&headway.so_far()), "{headway:?}");
        let big = folder.path().join("big");
        let large = program(folder.path(), &format!("exec head -c 3000000 /dev/zero > {}", big.display()));
        let large = QemuImg { limits: ChildLimits { file: 1 << 20, ..large.limits }, ..large };
        let text = told(large.info("raw", Path::new("/data"), &never));
        assert!(text.contains("signal: 25") || text.contains("File too large"), "{text}");
        assert!(fs::metadata(&big).unwrap().len() <= 1 << 20);
    }

    #[test]
    fn progress_is_told_as_it_changes() {
        for (output, wanted) in [
            ("    (0.00/100%)\r", Some(0)),
            ("    (0.00/100%)\r    (57.93/100%)\r", Some(57)),
            ("    (57.93/100%)\r    (58.", Some(57)),
            ("    (100.00/100%)\r\n", Some(100)),
            ("", None),
            ("(x/100%)", None),
        ] {
            assert_eq!(percent(output.as_bytes()), wanted.map(Percent), "{output:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let steps = "for n in 1 1 50 100; do printf '    (%s.00/100%%)\\r' $n; sleep 0.3; done";
        let seen = Mutex::new(Vec::new());
        let never = Interrupt::default();
        let data = Path::new("/data");
        let qemu = program(folder.path(), steps);
        qemu.convert(("raw", data), ("qcow2", data), &never, &|percent| seen.lock().unwrap().push(percent.0)).unwrap();
        assert_eq!(*seen.lock().unwrap(), [1, 50, 100]);
    }
}
