//! Makes the types and traits of containerd's protocols from `proto/`, without protoc.

const PROTOCOLS: [&str; 5] = [
    "proto/snapshots.proto",
    "proto/diff.proto",
    "proto/content.proto",
    "proto/images.proto",
    "proto/containers.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOCOLS, ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
