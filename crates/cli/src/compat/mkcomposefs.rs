//! `mkcomposefs`: a metadata image from a directory or a dump.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sealpack_compat::directory::{self, XattrChoice};
use sealpack_compat::objects::Objects;
use sealpack_format::digest::Algorithm;
use sealpack_format::dump::{Builder, Mode};
use sealpack_format::erofs::{FormatVersion, Layout};
use sealpack_format::tree::Tree;
use sealpack_kernel::Kernel;
use sealpack_kernel::fsverity::hasher;

use super::getopt::{Getopt, Known, Problem};
use super::image::Target;
use super::{Exit, Program, ToolResult, base_name, print, reason};

#[derive(Clone, Copy)]
enum Key {
    DigestStore,
    UseEpoch,
    SkipDevices,
    SkipXattrs,
    UserXattrs,
    SplitHardLinks,
    PrintDigest,
    PrintDigestOnly,
    FromFile,
    MinVersion,
    MaxVersion,
    Threads,
    /// Accepted by the C tool's parser, and wrong.
    Old,
}

const KNOWN: [Known<Key>; 14] = [
    option("skip-xattrs", Key::SkipXattrs),
    option("user-xattrs", Key::UserXattrs),
    option("skip-devices", Key::SkipDevices),
    option("split-hard-links", Key::SplitHardLinks),
    option("use-epoch", Key::UseEpoch),
    valued("digest-store", Key::DigestStore),
    option("print-digest", Key::PrintDigest),
    option("print-digest-only", Key::PrintDigestOnly),
    option("from-file", Key::FromFile),
    valued("max-version", Key::MaxVersion),
    valued("min-version", Key::MinVersion),
    valued("threads", Key::Threads),
    option("C", Key::Old),
    option("R", Key::Old),
];

const fn option(name: &'static str, key: Key) -> Known<Key> {
    Known { name, takes_value: false, key }
}

const fn valued(name: &'static str, key: Key) -> Known<Key> {
    Known { name, takes_value: true, key }
}

/// What was asked for.
#[derive(Default)]
struct Request {
    digest_store: Option<PathBuf>,
    use_epoch: bool,
    skip_devices: bool,
    skip_xattrs: bool,
    user_xattrs: bool,
    split_hard_links: bool,
    print_digest: bool,
    print_digest_only: bool,
    from_file: bool,
    min_version: Option<i64>,
    max_version: Option<i64>,
    threads: Option<NonZeroUsize>,
    operands: Vec<OsString>,
}

pub(super) fn run(program: &Program, arguments: Vec<OsString>) -> ToolResult {
    let request = Request::parse(program, arguments)?;
    let (source, target) = request.source_and_target(program)?;
    let versions = request.versions(program)?;
    let tree = if request.from_file {
        read_dump(program, &source)?
    } else {
        request.read_directory(program, &source)?
    };
    let version = versions.pick(&tree);
    let layout = Layout::of(&tree, version)
        .map_err(|error| program.failed(format_args!("cannot write file: {error}")))?;
    let mut hasher = request.print_digest.then(|| hasher(Algorithm::Sha256));
    target.write(program, &layout, hasher.as_mut())?;
    match hasher {
        Some(hasher) => print(program, hasher.finish()),
        None => Ok(()),
    }
}

impl Request {
    fn parse(program: &Program, arguments: Vec<OsString>) -> Result<Self, Exit> {
        let mut request = Self::default();
        let mut getopt = Getopt::new(&program.argv0, &KNOWN, arguments);
        while let Some(option) = getopt.next() {
            match option {
                Ok((key, value)) => request.take(program, key, &value)?,
                // This tool's parser is quiet.
                Err(Problem::NoValue(_)) => return Err(program.misused("option needs a value", b"")),
                Err(Problem::Other(_)) => return Err(program.misused("", &usage(program))),
            }
        }
        request.operands = getopt.operands();
        Ok(request)
    }

    fn take(&mut self, program: &Program, key: Key, value: &OsStr) -> ToolResult {
        let number = |what: &str| {
            let invalid = || program.misused(&format!("Invalid {what} {}", value.display()), b"");
            strtol(value).ok_or_else(invalid)
        };
        match key {
            Key::DigestStore => self.digest_store = Some(value.into()),
            Key::UseEpoch => self.use_epoch = true,
            Key::SkipDevices => self.skip_devices = true,
            Key::SkipXattrs => self.skip_xattrs = true,
            Key::UserXattrs => self.user_xattrs = true,
            Key::SplitHardLinks => self.split_hard_links = true,
            Key::PrintDigest => self.print_digest = true,
            Key::PrintDigestOnly => (self.print_digest, self.print_digest_only) = (true, true),
            Key::FromFile => self.from_file = true,
            Key::MinVersion => self.min_version = Some(number("min version")?),
            Key::MaxVersion => self.max_version = Some(number("max version")?),
            Key::Threads => {
                let threads = number("threads count")?;
                let invalid = || program.misused(&format!("Invalid threads count {threads}"), b"");
                let threads = usize::try_from(threads).ok().and_then(NonZeroUsize::new);
                self.threads = Some(threads.ok_or_else(invalid)?);
            }
            Key::Old => return Err(program.misused("", &usage(program))),
        }
        Ok(())
    }

    fn source_and_target(&self, program: &Program) -> Result<(PathBuf, Target), Exit> {
        let misused = |line| Err(program.misused(line, &usage(program)));
        match (&self.operands[..], self.print_digest_only) {
            ([], _) => misused("No source path specified"),
            ([source, ..], _) if source.is_empty() => Err(program.failed("Empty source path specified")),
            ([_, _, _, ..], _) => misused("Too many arguments"),
            ([source], true) => Ok((source.into(), Target::Nowhere)),
            ([_], false) => misused("No destination path specified"),
            ([source, target], false) => Ok((source.into(), Target::of(program, target.into())?)),
            ([_, _], true) => misused("Cannot specify destination path with --print-digest-only"),
        }
    }

    fn versions(&self, program: &Program) -> Result<Versions, Exit> {
        let version = |number: i64| {
            let version = u32::try_from(number).ok().and_then(FormatVersion::from_number);
            version.ok_or_else(|| {
                program.failed(format_args!(
                    "cannot write file: there is no format version {number}; 0 and 1 can be written"
                ))
            })
        };
        let (min, max) = match (self.min_version, self.max_version) {
            (None, None) => (0, 1),
            (min, max) => (min.unwrap_or(0), max.unwrap_or(0)),
        };
        Ok(Versions { min: version(min)?, max: version(max)? })
    }

    fn read_directory(&self, program: &Program, source: &Path) -> Result<Tree, Exit> {
        let xattrs = match (self.skip_xattrs, self.user_xattrs) {
            (true, true) => {
                return Err(program.failed("--skip-xattrs and --user-xattrs cannot be used together"));
            }
            (true, false) => XattrChoice::None,
            (false, true) => XattrChoice::User,
            (false, false) => XattrChoice::All,
        };
        let kernel = Kernel::default();
        let objects = match &self.digest_store {
            Some(path) => Some(
                Objects::open(&kernel, path)
                    .map_err(|error| program.failed(format_args!("cannot fill store: {error}")))?,
            ),
            None => None,
        };
        let options = directory::Options {
            xattrs,
            epoch: self.use_epoch,
            skip_devices: self.skip_devices,
            split_hard_links: self.split_hard_links,
            threads: self.threads.unwrap_or_else(processors),
            objects: objects.as_ref(),
        };
        directory::read(source, &options).map_err(|error| program.failed(error))
    }
}

/// Which format versions may be written.
struct Versions {
    min: FormatVersion,
    max: FormatVersion,
}

impl Versions {
    /// The lowest of them that does for `tree`, as far as there is one.
    fn pick(&self, tree: &Tree) -> FormatVersion {
        FormatVersion::lowest_for(tree).min(self.max).max(self.min)
    }
}

/// Reads a dump from a file, or for `-` from standard input.
fn read_dump(program: &Program, source: &Path) -> Result<Tree, Exit> {
    // The C tool's own switch.
    let is_strict = std::env::var_os("CFS_PARSE_STRICT").is_some();
    let mut builder = Builder::new(if is_strict { Mode::Strict } else { Mode::Lenient });
    let mut input: Box<dyn Read> = if source.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(source).map_err(|error| {
            program.failed(format_args!("open `{}`: {}", source.display(), reason(&error)))
        })?;
        Box::new(file)
    };
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => builder.push(&buffer[..length]).map_err(|error| program.failed(error))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(program.failed(format_args!("Error reading from file: {}", reason(&error))));
            }
        }
    }
    builder.finish().map_err(|error| program.failed(error))
}

/// The processors that this process may use.
fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A decimal number as strtol(3) reads it, if there is nothing else.
fn strtol(text: &OsStr) -> Option<i64> {
    let text = text.as_bytes();
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let (negative, digits) = match &text[blanks..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -value } else { value })
}

fn usage(program: &Program) -> Vec<u8> {
    let mut text = b"Usage: ".to_vec();
    text.extend_from_slice(base_name(&program.argv0).as_bytes());
    let options = format!(
        " [OPTIONS] SOURCE IMAGE
Options:
  --digest-store=PATH   Store content files in this directory
  --use-epoch           Make all mtimes zero
  --skip-devices        Don't store device nodes
  --skip-xattrs         Don't store file xattrs
  --user-xattrs         Only store user.* xattrs
  --split-hard-links    Store each name of a file as a file of its own
  --print-digest        Print the digest of the image
  --print-digest-only   Print the digest of the image, don't write image
  --from-file           The source is a dump file, not a directory
  --min-version=N       Use this minimal format version (default=0)
  --max-version=N       Use this maximum format version (default=1)
  --threads=N           Use this to override the default number of threads used to calculate digest and copy files (default={})
",
        processors()
    );
    text.extend_from_slice(options.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_in_c() {
        let read = |text: &str| strtol(OsStr::new(text));
        assert_eq!(read(" \t+12"), Some(12));
        assert_eq!(read("-3"), Some(-3));
        assert_eq!(read("99999999999999999999"), Some(i64::MAX));
        for bad in ["", "-", "1 ", "0x1", "--1", "a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
