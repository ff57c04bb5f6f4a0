//! docs/ci.md: what each of its files has its system run, run as that system does, with docker and the key service left out.

use crate::page::{Block, blocks};
use crate::site::{Site, said};
use anyhow::{Context, Result, ensure};
use std::process::Output;
use std::thread::sleep;
use std::time::Duration;
use yaml_rust2::{Yaml, YamlLoader};

/// The files, and what the systems set.
const FILES: [(&str, &str); 3] = [
    (".github/workflows/image.yml", "IMAGE=registry.example.org/prod/app:1 PASSWORD=secret"),
    (
        ".gitlab-ci.yml",
        "IMAGE=registry.example.org/prod/app:1 CI_REGISTRY=registry.example.org CI_REGISTRY_USER=ci CI_REGISTRY_PASSWORD=secret",
    ),
    ("seal.task.yaml", "IMAGE=registry.example.org/prod/app:1 DOCKER_CONFIG=."),
];

const PAGE: &str = "docs/ci.md";

/// What is there before a build: a key in the keeping of a program, its certificate, the policy of the hosts.
const BEFORE: &str = r#"mkdir -p ci && cd ci
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
openssl pkey -in key.pem -pubout -out public.pem
printf '#!/bin/sh\nexec openssl dgst -sha256 -sign ci/key.pem\n' > sign
chmod 755 sign
cd ..
sealpack key certificate --signer-command ci/sign --public-key ci/public.pem --cert ci/packs.crt --subject builds
sealpack policy new final -o ci/site.policy"#;

/// The file of the page's with that name.
fn file(blocks: &[Block], wanted: &str) -> Result<Yaml> {
    let text = blocks.iter().find_map(|block| match block {
        Block::Pipeline { name, text } if name == wanted => Some(text),
        _ => None,
    });
    let text = text.with_context(|| format!("{PAGE} has no {wanted}"))?;
    let mut documents = YamlLoader::load_from_str(text).with_context(|| wanted.to_owned())?;
    ensure!(documents.len() == 1, "{wanted} has {} documents", documents.len());
    Ok(documents.remove(0))
}

/// The scripts of a file that seal, as one shell gets them.
fn scripts(file: &Yaml) -> Vec<String> {
    let text = |script: &Yaml| match script {
        Yaml::Array(lines) => Some(lines.iter().filter_map(Yaml::as_str).collect::<Vec<_>>().join("\n")),
        other => other.as_str().map(str::to_owned),
    };
    let mut found = Vec::new();
    match file {
        Yaml::Hash(entries) => {
            for (name, value) in entries {
                match name.as_str() {
                    Some("run" | "script") => found.extend(text(value)),
                    _ => found.extend(scripts(value)),
                }
            }
        }
        Yaml::Array(entries) => found.extend(entries.iter().flat_map(scripts)),
        _ => {}
    }
    found.retain(|script| script.contains("ci/seal"));
    found
}

#[test]
fn the_pages_files_seal_what_was_pushed_and_a_host_takes_it() -> Result<()> {
    let blocks: Vec<_> = blocks(PAGE)?;
    for (name, sets) in FILES {
        let mut site = Site::new()?;
        site.follow(&blocks)?;
        ready(&site)?;
        let file = file(&blocks, name)?;
        let scripts = scripts(&file);
        let [script] = &scripts[..] else { anyhow::bail!("{name} seals {} times", scripts.len()) };
        // A job that is run again is no harm.
        for time in ["first", "second"] {
            let output = site.type_on("build", &format!("export {sets}\n{script}"))?;
            let said = said(&output);
            ensure!(output.status.success(), "{name}, the {time} time: {said}");
            ensure!(said.contains("CN=builds") && !said.contains("secret"), "{name}: {said}");
            // Seals are told apart by the second.
            sleep(Duration::from_millis(1100));
        }
        let taken = take(&site)?;
        ensure!(taken.status.success(), "{name}: {}", said(&taken));
    }
    Ok(())
}

fn ready(site: &Site) -> Result<()> {
    let output = site.type_on("build", BEFORE)?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

/// Whoever runs it knows the certificate, and demands a seal.
fn take(site: &Site) -> Result<Output> {
    let commands = "sealpack trust add builds --cert ci/packs.crt
sealpack pull --require sealed registry.example.org/prod/app:1";
    site.type_on("host", commands)
}

#[test]
fn of_what_the_hosts_policy_would_not_run_no_seal_is_published() -> Result<()> {
    let mut site = Site::new()?;
    site.follow(&blocks(PAGE)?)?;
    ready(&site)?;
    let denies = "printf 'policy_name=none policy_version=1.0.0\\nDEFAULT action=DENY\\n' > ci/site.policy";
    ensure!(site.type_on("build", denies)?.status.success(), "no policy");
    let output = site.type_on("build", "IMAGE=registry.example.org/prod/app:1 sh ci/seal")?;
    ensure!(!output.status.success() && said(&output).contains("2 denied"), "{}", said(&output));
    let refused = take(&site)?;
    ensure!(!refused.status.success() && said(&refused).contains("no seal"), "{}", said(&refused));
    Ok(())
}
