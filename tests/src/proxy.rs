//! A reverse proxy in front of a server: HAProxy, with a frontend for each way to pass on a path.

use std::process::{Child, Stdio};

use crate::{TestEnv, eventually, free_port};

/// A running HAProxy. Dropping this value ends it.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// The port whose requests keep their path and their `Host`.
    pub keeps: u16,
    /// The port whose requests lose the base path. Their `Host` becomes the server's, and `X-Forwarded-Host` names the
    /// one before.
    pub strips: u16,
}

impl Proxy {
    /// A proxy for the server on `port`, which may start later, below the path `base`.
    #[track_caller]
    pub fn start(env: &TestEnv, port: u16, base: &str) -> Self {
        let (keeps, strips) = (free_port(), free_port());
        let config = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             frontend keeps\n  bind 127.0.0.1:{keeps}\n  default_backend server\n\
             frontend strips\n  bind 127.0.0.1:{strips}\n  \
             http-request replace-path {base}/(.*) /\\1\n  \
             http-request set-header X-Forwarded-Host %[req.hdr(host)]\n  \
             http-request set-header Host 127.0.0.1:{port}\n  default_backend server\n\
             backend server\n  server server 127.0.0.1:{port}\n"
        );
        let file = env.path().join("haproxy.cfg");
        env.write(&file, &config);
        let mut command = env.command("haproxy");
        command.arg("-db").arg("-f").arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().expect("haproxy is installed: `cargo xtask install`");
        eventually("haproxy listens", || {
            assert_eq!(child.try_wait().expect("a child of ours"), None, "haproxy ended");
            std::net::TcpStream::connect(("127.0.0.1", strips)).ok()
        });
        Self { child, keeps, strips }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
