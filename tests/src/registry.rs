//! Debian's docker-registry on a loopback port of its own.

use crate::command::{find, run};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::images::Image;

/// A registry that runs until this is dropped; what was pushed goes with it.
#[derive(Debug)]
pub struct Registry {
    server: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Registry {
    /// Starts one with its data in a new directory below `place`.
    ///
    /// # Errors
    /// If docker-registry is not installed, or does not answer within ten seconds.
    pub fn start(place: &Path) -> Result<Self> {
        let program = find("docker-registry").context("docker-registry is not installed")?;
        std::fs::create_dir_all(place)?;
        let dir = tempfile::Builder::new().prefix("registry-").tempdir_in(place)?;
        let port = free_port()?;
        let config = dir.path().join("config.yml");
        std::fs::write(&config, configuration(&dir.path().join("data"), port))?;
        let log = File::create(dir.path().join("log"))?;
        // With the thread that asked for it gone, however it ended, the server goes too.
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start docker-registry")?;
        let mut registry = Self { server, port, dir };
        registry.wait_until_it_answers()?;
        Ok(registry)
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The command that pushes an image as `repository:tag`.
    pub fn push_command(&self, image: &Image, name: &str) -> Command {
        let mut command = Command::new("skopeo");
        command
            .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
            .arg(image.source())
            .arg(format!("docker://{}/{name}", self.host()));
        command
    }

    /// Pushes an image as `repository:tag`.
    ///
    /// # Errors
    /// If skopeo fails.
    pub fn push(&self, image: &Image, name: &str) -> Result<()> {
        run(&mut self.push_command(image, name)).map(drop)
    }

    /// Where it keeps the blob named `digest`.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(hex.get(..2).unwrap_or_default()).join(hex).join("data")
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.server.try_wait()? {
                bail!("docker-registry ended at once with {status}: {}", self.log());
            }
            if answers(self.port) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("docker-registry does not answer on port {}: {}", self.port, self.log())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Fails only if it has ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration(data: &Path, port: u16) -> String {
    // JSON is YAML, and needs no care with what is in a path.
    serde_json::json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": data}, "delete": {"enabled": true}},
        "http": {"addr": format!("127.0.0.1:{port}")},
    })
    .to_string()
}

/// Whether the API's root answers with 200.
fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<bool> {
        let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        connection.write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut start = [0; 12];
        connection.read_exact(&mut start)?;
        Ok(start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
