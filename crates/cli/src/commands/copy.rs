use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sealpack_oci::archive::{ArchiveForm, NewArchive, Packed, save};
use sealpack_oci::copy::{Copied, CopyOptions, Platforms, copy};
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::{Source, SourceError};
use sealpack_oci::target::{Target, TargetError};

use crate::args::{Line, RegistryArgs, read_list};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, Failures};
use crate::{progress, show};

/// Copy an image, with its seals, from one place to another.
///
/// Nothing is changed on the way, so digests stay what they are. What has been said about the image goes with it:
/// seals, signatures of others, SBOMs, and what has been said about these. A registry that keeps no list of such
/// referrers gets one under a tag `sha256-…`. Blobs of the same registry are not transferred, and an upload that breaks
/// goes on where it broke. The name in the target changes last.
///
/// An archive is written whole and replaces the file that is there. A docker-archive has no place for what has been said about
/// an image.
///
/// The store is not used.
#[derive(Debug, clap::Args)]
#[command(override_usage = "sealpack copy [OPTIONS] <SOURCE> <TARGET>|--list <FILE>")]
#[command(after_help = "Sources are those of `sealpack pull`. Targets:
  registry.lan:5000/app:1, docker://…   a registry; credentials are docker's and podman's
  oci:DIR[:TAG]                         an OCI layout, made if it is not there
  oci-archive:FILE[:TAG]                an OCI layout in a tar, written anew
  docker-archive:FILE[:REFERENCE]       what `docker load` takes, written anew

Examples:
  sealpack copy registry.example.org/prod/app:1 mirror.lan/prod/app:1
  sealpack copy --all-platforms registry.example.org/prod/app:1 oci:app:1
  sealpack copy oci:app:1 registry.lan:5000/app:1
  sealpack copy oci:app:1 docker-archive:app.tar:registry.lan/app:1
  sealpack copy --list mirrored.txt")]
pub(crate) struct Copy {
    /// Where the image is.
    #[arg(required_unless_present = "list", requires = "target")]
    source: Option<Source>,
    /// Where it is to be.
    #[arg(required_unless_present = "list")]
    target: Option<GivenTarget>,
    /// Copy what this file says, a source and a target on each line, `#` before remarks; `-` is standard input. One that fails
    /// does not stop the others.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "target"])]
    list: Option<PathBuf>,
    /// The platform of an image that is there for several, as os/architecture[/variant]
    /// [default: this machine's].
    #[arg(long, conflicts_with = "all_platforms")]
    platform: Option<Platform>,
    /// Copy the images for all platforms, and the index that names them.
    #[arg(long)]
    all_platforms: bool,
    /// Leave behind what has been said about the image.
    #[arg(long)]
    no_referrers: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// A target that somebody can mean.
#[derive(Debug, Clone)]
enum GivenTarget {
    /// Something that more can be put into.
    Place(Target),
    /// A file that is written whole.
    Archive(NewArchive),
}

impl fmt::Display for GivenTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(target) => target.fmt(f),
            Self::Archive(archive) => archive.fmt(f),
        }
    }
}

impl FromStr for GivenTarget {
    type Err = String;

    /// One word alone, such as `app:1`, is more likely a name that was meant for a layout, or for a registry that is
    /// left out, than one in Docker Hub's own namespace, where nobody else may write.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(archive) = NewArchive::parse(text) {
            return archive.map(Self::Archive);
        }
        let target: Target = text.parse().map_err(|error: TargetError| error.to_string())?;
        match &target {
            Target::Registry(reference) if !text.contains('/') => Err(format!(
                "nothing says where that is: `oci:{text}` is a layout, `REGISTRY/{text}` a registry's, and \
                 `docker://{reference}` Docker Hub's"
            )),
            _ => Ok(Self::Place(target)),
        }
    }
}

/// A source and a target.
struct Way {
    source: Source,
    target: GivenTarget,
}

impl Copy {
    pub(crate) fn run(mut self, context: &Context) -> CommandResult {
        context.output.when_interrupted("what was copied is found by the same copy; no name has changed");
        let environment = Environment::of_process(std::env::var_os);
        if let (Some(source), Some(target)) = (self.source.take(), self.target.take()) {
            return self.one(&Way { source, target }, context, &environment);
        }
        let ways = self.listed()?;
        let mut failures = Failures::default();
        for (place, way) in &ways {
            if let Err(error) = self.one(way, context, &environment) {
                let error = error.about(place);
                context.output.error(&error);
                failures.add(&error);
            }
        }
        failures.result(ways.len(), "image")
    }

    /// What is listed, each with its place in the list; all of it must be sources and targets before the first is copied.
    fn listed(&self) -> Result<Vec<(String, Way)>, CommandError> {
        let list = self.list.as_deref().unwrap_or(Path::new("-"));
        let way = |line: Line| {
            let wrong =
                |problem: &dyn fmt::Display| CommandError::usage(format_args!("{}: {problem}", line.place));
            let [source, target] = line.words.as_slice() else {
                let problem =
                    format!("a line has a source and a target, and this one {} words", line.words.len());
                return Err(wrong(&problem));
            };
            let source = source.parse().map_err(|error: SourceError| wrong(&error))?;
            let target = target.parse().map_err(|error: String| wrong(&error))?;
            Ok((line.place, Way { source, target }))
        };
        let ways: Vec<(String, Way)> = read_list(list)?.into_iter().map(way).collect::<Result<_, _>>()?;
        check_archives(&ways)?;
        Ok(ways)
    }

    fn one(&self, way: &Way, context: &Context, environment: &Environment) -> CommandResult {
        let Way { source, target } = way;
        let from = source.open(&self.registry.client_options(source, context.output), environment)?;
        let options = CopyOptions {
            platforms: match &self.platform {
                _ if self.all_platforms => Platforms::All,
                Some(platform) => Platforms::Only(platform.clone()),
                None => Platforms::Usual(Platform::host()),
            },
            referrers: !self.no_referrers,
        };
        let observer = progress::copy_observer(context.output);
        let copied = match target {
            GivenTarget::Place(target) => {
                let client = self.registry.without_mirrors(context.output);
                let opened = target.open(Some(source), &client, environment)?;
                copy(from.as_ref(), opened.as_ref(), &options, observer.as_ref())?
            }
            GivenTarget::Archive(archive) => {
                if self.all_platforms && archive.form == ArchiveForm::Docker {
                    return Err(CommandError::usage("a docker-archive has the image of one platform")
                        .hint("`oci-archive:FILE` takes an index with all that it names"));
                }
                let image = Packed { source: from.as_ref(), name: archive.name.as_deref() };
                Copied::from(save(archive.form, &archive.path, &[image], &options, observer.as_ref())?)
            }
        };
        drop(observer);
        show::copied::copied(context.output, target, &copied)
    }
}

/// That no archive is written twice: the second image would take the place of the first.
fn check_archives(ways: &[(String, Way)]) -> CommandResult {
    let path = |way: &Way| match &way.target {
        GivenTarget::Archive(archive) => Some(archive.path.clone()),
        GivenTarget::Place(_) => None,
    };
    for (number, (place, way)) in ways.iter().enumerate() {
        let Some(written) = path(way) else { continue };
        if ways[..number].iter().any(|(_, before)| path(before).as_ref() == Some(&written)) {
            let written = written.display();
            let problem =
                format!("{place}: {written} is the target of another line, whose image it would replace");
            return Err(
                CommandError::usage(problem).hint("`sealpack save` writes several images to one archive")
            );
        }
    }
    Ok(())
}
