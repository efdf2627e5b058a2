//! The guide for operators, glance-api-migration(7): its commands, and what runs them here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::pause;

/// Longer takes no section.
const PATIENCE: Duration = Duration::from_secs(120);

/// What would change this machine and not a folder. Each only leaves its words; those of systemd also have the test start or stop a service.
const STAND_INS: [&str; 7] = ["systemctl", "apt-get", "docker", "mount", "umount", "chown", "chgrp"];

/// The commands of the page, by section.
pub(super) struct Guide {
    sections: Vec<(String, String)>,
}

impl Guide {
    pub(super) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/man/glance-api-migration.7");
        let (mut sections, mut is_command): (Vec<(String, String)>, _) = (Vec::new(), false);
        for line in fs::read_to_string(path).unwrap().lines() {
            match (line.split_once(' ').unwrap_or((line, "")), is_command) {
                ((".SH" | ".SS", title), _) => sections.push((title.trim_matches('"').to_owned(), String::new())),
                ((".EX", _), _) => is_command = true,
                ((".EE", _), _) => is_command = false,
                (_, true) => {
                    let (_, commands) = sections.last_mut().unwrap();
                    *commands += &line.replace("\\-", "-").replace("\\e", "\\");
                    commands.push('\n');
                }
                (_, false) => {}
            }
        }
        sections.retain(|(_, commands)| !commands.is_empty());
        Self { sections }
    }

    pub(super) fn titles(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(title, _)| title.as_str())
    }

    fn commands(&self, title: &str) -> &str {
        &self.sections.iter().find(|(known, _)| known == title).unwrap_or_else(|| panic!("no section {title}")).1
    }
}

/// A folder that stands for `/`.
pub(super) struct Host {
    pub(super) root: PathBuf,
    port: u16,
    /// For the database's own tools, and the token of the administrator.
    pub(super) variables: Vec<(String, String)>,
}

impl Host {
    pub(super) fn new(root: &Path, port: u16) -> Self {
        for folder in
            ["etc/glance", "etc/kolla/glance-api", "etc/systemd/system", "root", "stand-ins", "var/lib/glance"]
        {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("etc/systemd/system/glance-api.service"), "[Service]\n").unwrap();
        for name in STAND_INS {
            // A service that is asked for is there when the command returns.
            let text = format!(
                "#!/bin/sh\necho \"{name} $*\" >>{root}/words\ncase \"{name} $*\" in\nsystemctl*daemon-reload*) exit ;;\n\
                 systemctl*start*|systemctl*enable*) what=start ;;\nsystemctl*) what=stop ;;\n*) exit ;;\nesac\n\
                 echo $what >{root}/wanted.new && mv {root}/wanted.new {root}/wanted\n\
                 while [ -e {root}/wanted ]; do sleep 0.05; done\n",
                root = root.display()
            );
            let path = root.join("stand-ins").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { root: root.to_owned(), port, variables: Vec::new() }
    }

    /// Runs the commands of a section; the first that fails ends it. `on` starts or stops the service. Returns what they print.
    pub(super) fn run(&self, guide: &Guide, title: &str, on: &mut dyn FnMut(&str)) -> String {
        let root = self.root.display();
        let mut commands = guide.commands(title).replace("127.0.0.1:9292", &format!("127.0.0.1:{}", self.port));
        for folder in ["/etc/", "/var/", "/root/"] {
            commands = commands.replace(folder, &format!("\0{folder}"));
        }
        let commands = commands.replace('\0', &root.to_string());
        let programs = Path::new(env!("CARGO_BIN_EXE_glance-manage")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let log = self.root.join("log");
        let out = || fs::File::options().create(true).append(true).open(&log).unwrap();
        fs::write(&log, "").unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-e", "-x", "-c", &commands])
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(out())
            .stderr(out());
        shell
            .env("PATH", format!("{root}/stand-ins:{}:{path}", programs.display()))
            .env("HOME", self.root.join("root"));
        let mut shell = shell.envs(self.variables.iter().cloned()).spawn().unwrap();
        let (wanted, start) = (self.root.join("wanted"), Instant::now());
        let status = loop {
            if let Ok(what) = fs::read_to_string(&wanted) {
                on(what.trim());
                fs::remove_file(&wanted).unwrap();
            }
            if let Some(status) = shell.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = shell.kill();
            }
            pause(Duration::from_millis(20));
        };
        let said = fs::read_to_string(&log).unwrap();
        assert!(status.success(), "{title}: {status}\n{said}");
        said
    }

    /// All that the stand-ins were told.
    pub(super) fn words(&self) -> String {
        fs::read_to_string(self.root.join("words")).unwrap_or_default()
    }
}
