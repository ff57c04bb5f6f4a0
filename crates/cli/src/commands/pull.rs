use std::path::PathBuf;
use std::str::FromStr;

use sealpack_format::Algorithm;
use sealpack_format::reference::Reference;
use sealpack_gate::Remark;
use sealpack_gate::pull::{Wanted, pull};
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::{Source, SourceError};
use sealpack_store::ObjectForm;

use crate::args::{GateArgs, LimitArgs, RegistryArgs, read_list};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, Failures};
use crate::journal;
use crate::{progress, show};

/// Bring images into the store.
///
/// The store is made on first use. Layers that it has are not fetched, and an interrupted
/// pull goes on where it stopped. Of several images each is judged and reported for itself: those that can be had come
/// in although another one cannot, which the exit status tells.
///
/// Seals of the image are looked for where it comes from, and judged by the trust store: whether they are for this image
/// under this name, signed by those whose signatures count, and not older than what was seen before. With a seal that
/// can be used, contents are kept in packs, and their root hashes must be the sealed ones. The rules of the trust store
/// say for which names a seal is required; otherwise an image without one is taken as it is.
#[derive(Debug, clap::Args)]
#[command(override_usage = "sealpack pull [OPTIONS] <SOURCE>...|--list <FILE>")]
#[command(after_help = "Sources:
  debian:12, docker://debian:12         a registry; credentials are docker's and podman's
  oci:DIR[:TAG], oci:DIR@DIGEST         an OCI layout
  oci-archive:FILE[:TAG]                an OCI layout in a tar
  docker-archive:FILE[:REFERENCE]       what `docker save` writes

Examples:
  sealpack pull debian:12
  sealpack pull debian:12 alpine:3 busybox
  sealpack pull --list images.txt
  sealpack pull ghcr.io/org/app@sha256:…
  sealpack pull --platform linux/arm64 debian:12 --name debian:12-arm64
  sealpack pull oci:build/image:v1 --name localhost/app:v1
  sealpack pull --objects packs debian:12      # to be sealed
  sealpack pull --require sealed registry.example.org/prod/app:1
  sealpack pull --plain-http registry.lan:5000/app:v1")]
pub(crate) struct Pull {
    /// Where the images come from.
    #[arg(required_unless_present = "list", value_name = "SOURCE")]
    sources: Vec<Given>,
    /// Pull what this file names too, a source on each line, `#` before remarks; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// The name for the image, where there is one source [default: the source's].
    #[arg(long)]
    name: Option<Reference>,
    /// The platform of an image that is there for several, as os/architecture[/variant]
    /// [default: this machine's].
    #[arg(long)]
    pub(super) platform: Option<Platform>,
    /// How a new store names objects: sha256 or sha512 [default: sha256].
    #[arg(long, value_name = "ALGORITHM")]
    digest: Option<Algorithm>,
    /// How the image's contents are kept: as files, or in packs, one for each layer [default: in packs where it
    /// is sealed; else as most of its layers are kept already, as the image that has the name, as files].
    #[arg(long, value_name = "FORM")]
    pub(super) objects: Option<ObjectForm>,
    /// Pull an image even if the composefs digests in its annotations or labels are not its own.
    #[arg(long)]
    pub(super) no_composefs_check: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    gate: GateArgs,
}

/// A source, and how it was written.
#[derive(Debug, Clone)]
struct Given {
    text: String,
    source: Source,
}

impl FromStr for Given {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned(), source: text.parse()? })
    }
}

impl Given {
    /// Whether it could as well be meant as a name for what is in front of it: so `pull SOURCE NAME` was once written.
    fn may_be_name(&self) -> bool {
        matches!(self.source, Source::Registry(_)) && !self.text.starts_with("docker://")
    }
}

impl Pull {
    /// That of these sources, with nothing else said.
    pub(super) fn of(
        sources: Vec<Source>,
        registry: RegistryArgs,
        limits: LimitArgs,
        gate: GateArgs,
    ) -> Self {
        let given = |source: Source| Given { text: source.to_string(), source };
        Self {
            sources: sources.into_iter().map(given).collect(),
            list: None,
            name: None,
            platform: None,
            digest: None,
            objects: None,
            no_composefs_check: false,
            limits,
            registry,
            gate,
        }
    }

    pub(crate) fn run(mut self, context: &Context) -> CommandResult {
        self.add_list()?;
        context.output.when_interrupted(
            "what was fetched is kept, and the same pull goes on from there; no name has changed meanwhile",
        );
        let environment = Environment::of_process(std::env::var_os);
        if self.sources.len() == 1 {
            return self.sources.iter().try_for_each(|given| self.one(given, context, &environment));
        }
        self.check_names(context, &environment)?;
        let mut failures = Failures::default();
        for given in &self.sources {
            if let Err(error) = self.one(given, context, &environment) {
                let error = error.about(&given.text);
                let error = match self.misplaced_name() {
                    Some((source, name)) if name.text == given.text => error.also_hint(format_args!(
                        "each is a source of its own: `sealpack pull {} --name {}` gives the first that name",
                        source.text, name.text
                    )),
                    _ => error,
                };
                context.output.error(&error);
                failures.add(&error);
            }
        }
        failures.result(self.sources.len(), "image")
    }

    /// Adds what is listed to what is on the command line: all of it must be sources before the first is asked for.
    fn add_list(&mut self) -> CommandResult {
        let Some(list) = &self.list else { return Ok(()) };
        for line in read_list(list)? {
            let [word] = line.words.as_slice() else {
                return Err(CommandError::usage(format_args!(
                    "{}: a line has one source, and this one has {} words",
                    line.place,
                    line.words.len()
                )));
            };
            let given = word.parse::<Given>();
            self.sources
                .push(given.map_err(|error| CommandError::usage(format_args!("{}: {error}", line.place)))?);
        }
        Ok(())
    }

    /// That each image has a name of its own, before the first is asked for.
    fn check_names(&self, context: &Context, environment: &Environment) -> CommandResult {
        if self.name.is_some() {
            return Err(CommandError::usage("--name names one image, and there are several sources")
                .hint("give each a pull of its own"));
        }
        let mut names: Vec<(&str, Reference)> = Vec::new();
        for given in &self.sources {
            let client = self.registry.client_options(&given.source, context.output);
            // What cannot be opened says so when it is its turn.
            let Ok(source) = given.source.open(&client, environment) else { continue };
            let Some(name) = source.default_name() else { continue };
            if let Some((other, _)) = names.iter().find(|(_, taken)| *taken == name) {
                return Err(CommandError::usage(format_args!(
                    "{other} and {} would both be {name}",
                    given.text
                ))
                .hint("give one of them a pull of its own, with --name"));
            }
            names.push((&given.text, name));
        }
        Ok(())
    }

    /// The two sources of which the second may be meant as the first's name.
    fn misplaced_name(&self) -> Option<(&Given, &Given)> {
        match self.sources.as_slice() {
            [source, name] if name.may_be_name() => Some((source, name)),
            _ => None,
        }
    }

    fn one(&self, given: &Given, context: &Context, environment: &Environment) -> CommandResult {
        let client = self.registry.client_options(&given.source, context.output);
        let wanted = Wanted {
            source: given.source.clone(),
            name: self.name.clone(),
            platform: self.platform.clone().unwrap_or_else(Platform::host),
            algorithm: self.digest,
            objects: self.objects,
            check_composefs: !self.no_composefs_check,
            limits: self.limits.limits(),
            demand: self.gate.demand(),
        };
        let (place, trust) = (context.place()?, context.trust_store());
        let observer = progress::observer(context.output);
        let mut remarks = context.output.gate_remarks();
        let admitted =
            pull(&wanted, &place, &trust, (&client, environment), observer.as_ref(), &mut remarks)?;
        drop(observer);
        if admitted.admission().has_replaced_seal() {
            remarks(Remark::SealReplaced);
        }
        journal::pulled(&admitted);
        show::pulled::pulled(context.output, &admitted)
    }
}
