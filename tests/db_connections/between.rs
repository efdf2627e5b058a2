//! What stands between a service and its database: PgBouncer and HAProxy, from the distribution's packages.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::database::{as_postgres, program};
use crate::common::{ends_with_thread, free_port, wait_for};

/// A program between client and server; ends with the test.
pub(crate) struct Between {
    pub(crate) port: u16,
    process: Child,
}

impl Between {
    /// Two connections to the server, which each transaction borrows. `settings` are PgBouncer's own.
    pub(crate) fn pgbouncer(folder: &Path, server_port: u16, settings: &str) -> Self {
        Self::pgbouncer_for(folder, server_port, "glance", &format!("default_pool_size = 2\n{settings}"))
    }

    /// As [`Self::pgbouncer`], for another database and with as many connections as `settings` say.
    pub(crate) fn pgbouncer_for(folder: &Path, server_port: u16, database: &str, settings: &str) -> Self {
        let port = free_port();
        let path = folder.join(format!("pgbouncer-{port}.ini"));
        let text = format!(
            "[databases]\n{database} = host={} port={server_port} dbname={database} user=glance\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n{settings}\n",
            folder.display()
        );
        std::fs::write(&path, text).unwrap();
        let mut command = as_postgres(&program("pgbouncer", "pgbouncer"));
        Self::start(command.arg("-q").arg(path), port)
    }

    /// Passes connections on to the first of the sockets that answers, and cuts them when they are silent for `idle_ms`.
    pub(crate) fn haproxy(folder: &Path, sockets: &[&Path], idle_ms: u32) -> Self {
        let port = free_port();
        let path = folder.join(format!("haproxy-{port}.cfg"));
        let mut text = format!(
            "defaults\n mode tcp\n timeout connect 2s\n timeout client {idle_ms}ms\n timeout server {idle_ms}ms\n\
             listen database\n bind 127.0.0.1:{port}\n"
        );
        for (number, socket) in sockets.iter().enumerate() {
            let backup = if number > 0 { " backup" } else { "" };
            text += &format!(
                " server s{number} unix@{} check inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions{backup}\n",
                socket.display()
            );
        }
        std::fs::write(&path, text).unwrap();
        let mut command = ends_with_thread(&program("haproxy", "haproxy"));
        Self::start(command.args(["-db", "-q", "-f"]).arg(path), port)
    }

    fn start(command: &mut Command, port: u16) -> Self {
        let process = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let between = Self { port, process: process.unwrap() };
        wait_for("what stands in between", Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).ok());
        between
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        // runuser passes it on; nothing holds data.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
