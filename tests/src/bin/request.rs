//! A request for an image's manifest and nothing else: one connection, in plain HTTP.
//!
//! `sealpack-request HOST:PORT REPOSITORY REFERENCE`

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, repository, reference] = arguments.as_slice() else {
        anyhow::bail!("usage: sealpack-request HOST:PORT REPOSITORY REFERENCE");
    };
    let mut stream = TcpStream::connect(host).with_context(|| format!("cannot reach {host}"))?;
    let accept = "application/vnd.oci.image.manifest.v1+json";
    write!(
        stream,
        "GET /v2/{repository}/manifests/{reference} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}
