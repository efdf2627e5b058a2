//! Bounds on a child process, set before its program begins (setrlimit(2), prctl(2)).
#![expect(unsafe_code, reason = "the standard library offers no limits for a child but by pre_exec, which is unsafe")]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::time::ClockId;
use nix::unistd::Pid;

/// What a child may use; beyond, the kernel refuses memory or ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildLimits {
    /// Bytes of address space.
    pub(crate) memory: u64,
    /// Seconds of processor time.
    pub(crate) cpu: u64,
    /// Bytes of a file that it writes.
    pub(crate) file: u64,
}

/// Lets the child of `command` live within `limits`, leave no core file, and end with the thread that starts it.
pub(crate) fn limit(command: &mut Command, limits: ChildLimits) {
    let ChildLimits { memory, cpu, file } = limits;
    let bound = move || {
        setrlimit(Resource::RLIMIT_AS, memory, memory)?;
        // The soft limit sends SIGXCPU, the hard one SIGKILL.
        setrlimit(Resource::RLIMIT_CPU, cpu, cpu.saturating_add(1))?;
        setrlimit(Resource::RLIMIT_FSIZE, file, file)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        set_pdeathsig(Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls with numbers that it holds itself; it allocates nothing and takes
    // no lock, also where a call fails, as an error number becomes an error without allocation.
    unsafe { command.pre_exec(bound) };
}

/// How long a child has used processors so far; `None` once it was waited for.
pub(crate) fn processor_time(child: &Child) -> Option<Duration> {
    let pid = Pid::from_raw(i32::try_from(child.id()).ok()?);
    let used = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now).ok()?;
    Some(used.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_the_limits_and_the_parent_does_not() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -v; ulimit -t; ulimit -f; ulimit -c"]);
        limit(&mut command, ChildLimits { memory: 1 << 30, cpu: 7, file: 1 << 20 });
        let said = command.output().unwrap();
        // Address space in KiB, files in blocks of 512 bytes.
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "1048576\n7\n2048\n0\n");
        let own = nix::sys::resource::getrlimit(Resource::RLIMIT_CPU).unwrap();
        assert!(own.0 > 7);
    }
}
