//! What a policy cannot help with, and whoever runs an image under one should know.

use std::collections::BTreeSet;

use sealpack_format::tree::{Tree, shown};

use super::{Candidate, Shape, interpreter};

/// Something to know of an image that is to run under a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// The word that machines get for it.
    pub kind: &'static str,
    /// The file that it is about, if one.
    pub path: Option<Vec<u8>>,
    /// What there is to know, without the path.
    pub text: String,
}

/// Code that is made at run time lives in memory that is no file, which no rule but one without
/// conditions allows: beginnings of file names, and what fails.
const RUN_TIME_CODE: &[(&str, &str)] = &[
    ("_ctypes.", "Python's ctypes cannot make callbacks (libffi needs new executable memory)"),
    ("_cffi_backend.", "Python's cffi cannot make callbacks (libffi needs new executable memory)"),
    (
        "libffi.so",
        "closures of libffi need new executable memory: callbacks from C into other languages fail",
    ),
    ("libjvm.so", "Java's compiler fails: run it with -Xint, or compile ahead of time"),
    ("libcoreclr.so", ".NET's compiler fails: compile ahead of time"),
    ("libmonosgen", "Mono's compiler fails: run it with --interpreter, or compile ahead of time"),
    ("libv8.so", "V8's compiler fails: run it with --jitless"),
    ("libnode.so", "Node's compiler fails: run it with --jitless"),
    ("node", "Node's compiler fails: run it with --jitless"),
    ("libluajit", "LuaJIT's compiler fails: switch it off with jit.off()"),
    ("luajit", "LuaJIT's compiler fails: run it with -joff"),
    ("libpcre2-8.so", "the regular expression compiler (PCRE2 JIT) fails; most programs go on without it"),
    ("opcache.so", "PHP's compiler fails: set opcache.jit=off"),
    ("libLLVM", "LLVM can compile to files, but not into memory"),
    ("libjavascriptcoregtk", "JavaScriptCore's compiler fails: set JSC_useJIT=0"),
    ("libmozjs", "SpiderMonkey's compiler fails: switch its JIT off"),
    ("libruby", "Ruby's compiler fails where it is switched on (--yjit)"),
    ("qemu-system-", "QEMU's translator (TCG) fails: use KVM"),
];

/// Interpreters that run whatever file they are given.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "ash", "zsh", "ksh", "busybox", "python", "perl", "ruby", "node", "php", "lua",
    "luajit", "tclsh", "awk", "gawk", "mawk", "guile",
];

/// What is to be known of `candidates`, those of an image with files `tree`.
#[must_use]
pub fn lints(tree: &Tree, candidates: &[Candidate]) -> Vec<Lint> {
    let mut lints: Vec<Lint> = candidates.iter().filter_map(|file| missing_interpreter(tree, file)).collect();
    lints.extend(candidates.iter().filter_map(run_time_code));
    lints.extend(candidates.iter().filter_map(|file| privileges(tree, file)));
    lints.extend(open_interpreters(candidates));
    lints
}

fn missing_interpreter(tree: &Tree, file: &Candidate) -> Option<Lint> {
    let (path, found) = interpreter(tree, &file.shape)?;
    // A library may name a loader that only matters when it is started as a program.
    if found.is_some() || !file.executable_bit {
        return None;
    }
    let path = shown(path);
    let text = if path.starts_with('/') {
        format!("needs {path}, which the image does not have: it cannot be started")
    } else {
        format!("has the relative interpreter {path}: what is started depends on the working directory")
    };
    Some(Lint { kind: "missing-interpreter", path: Some(file.path.clone()), text })
}

fn run_time_code(file: &Candidate) -> Option<Lint> {
    let Shape::Elf(_) = file.shape else { return None };
    let name = base_name(&file.path);
    let is_it = |start: &str| match name.strip_prefix(start.as_bytes()) {
        Some(rest) => start.contains(['.', '-']) || start.starts_with("lib") || is_version(rest),
        None => false,
    };
    let (_, text) = RUN_TIME_CODE.iter().find(|(start, _)| is_it(start))?;
    Some(Lint { kind: "run-time-code", path: Some(file.path.clone()), text: (*text).to_owned() })
}

fn privileges(tree: &Tree, file: &Candidate) -> Option<Lint> {
    let metadata = &tree.inode(file.inode).metadata;
    let what = match metadata.permissions & 0o6000 {
        0 if metadata.xattrs.get(b"security.capability").is_some() => "file capabilities",
        0 => return None,
        0o4000 => "set-user-ID rights",
        0o2000 => "set-group-ID rights",
        _ => "set-user-ID and set-group-ID rights",
    };
    let text = format!(
        "has {what}, which count for nothing unless the kernel accepts a signature of the metadata image"
    );
    Some(Lint { kind: "privileges", path: Some(file.path.clone()), text })
}

fn open_interpreters(candidates: &[Candidate]) -> Option<Lint> {
    let is_interpreter = |file: &&Candidate| {
        let name = base_name(&file.path);
        let is = |known: &&str| name.strip_prefix(known.as_bytes()).is_some_and(is_version);
        file.executable_bit && matches!(file.shape, Shape::Elf(_)) && INTERPRETERS.iter().any(is)
    };
    let names: BTreeSet<String> =
        candidates.iter().filter(is_interpreter).map(|file| shown(base_name(&file.path))).collect();
    if names.is_empty() {
        return None;
    }
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let text = format!(
        "scripts given to an interpreter (`sh script`) are only read, which no policy sees; the image has {names}"
    );
    Some(Lint { kind: "open-interpreters", path: None, text })
}

/// What remains of a name when it is the known one, perhaps with a version: `3.11`, `-5.2`.
fn is_version(rest: &[u8]) -> bool {
    rest.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
