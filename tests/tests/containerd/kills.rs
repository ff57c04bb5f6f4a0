//! The snapshotter, killed in the middle of each of its calls; containerd plays no part.

use crate::can_run;
use anyhow::{Context, Result, ensure};
use prost::Message;
use sealpack_test_cri::connection::{Connection, Empty, said};
use sealpack_tests::containerd::{Enclosure, served};
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use tonic::{Code, Status};

/// How long after a call has been sent the kill comes. A call takes some milliseconds, most of them for the disk.
const MOMENTS_MICROSECONDS: [u64; 4] = [0, 1_000, 4_000, 20_000];

/// Requests for snapshots: all have `snapshotter` as their first field; the next ones are texts, most often key and parent.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "2")]
    key: String,
    #[prost(string, tag = "3")]
    parent: String,
}

#[derive(Clone, PartialEq, Message)]
struct Update {
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    parent: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Listed {
    #[prost(message, repeated, tag = "1")]
    info: Vec<Info>,
}

/// The values of `Kind`.
const VIEW: i32 = 1;
const ACTIVE: i32 = 2;
const COMMITTED: i32 = 3;

const LABEL: (&str, &str) = ("test/changed", "yes");

/// A call that is cut off.
#[derive(Clone, Copy, Debug)]
enum Call {
    Prepare,
    View,
    Mounts,
    Commit,
    Stat,
    Update,
    Usage,
    List,
    Remove,
    Cleanup,
}

const ALL: [Call; 10] = [
    Call::Prepare,
    Call::View,
    Call::Mounts,
    Call::Commit,
    Call::Stat,
    Call::Update,
    Call::Usage,
    Call::List,
    Call::Remove,
    Call::Cleanup,
];

type Rows = HashMap<String, Info>;

fn ask(connection: &mut Connection, method: &str, key: &str, parent: &str) -> Result<(), Status> {
    let request = Request { key: key.to_owned(), parent: parent.to_owned() };
    let method = format!("containerd.services.snapshots.v1.Snapshots/{method}");
    connection.call::<_, Empty>(&method, request).map(drop)
}

fn rows(connection: &mut Connection) -> Result<Rows, Status> {
    let method = "containerd.services.snapshots.v1.Snapshots/List";
    let lists: Vec<Listed> = connection.list(method, Empty {})?;
    Ok(lists.into_iter().flat_map(|list| list.info).map(|info| (info.name.clone(), info)).collect())
}

impl Call {
    /// Makes it for the snapshot `key`, which is there unless the call makes it.
    fn make(self, connection: &mut Connection, key: &str) -> Result<(), Status> {
        match self {
            Self::Prepare => ask(connection, "Prepare", key, "base"),
            Self::View => ask(connection, "View", key, "base"),
            Self::Mounts => ask(connection, "Mounts", key, ""),
            // Its fields are the new name and the key.
            Self::Commit => ask(connection, "Commit", &committed(key), key),
            Self::Stat => ask(connection, "Stat", key, ""),
            Self::Update => {
                let labels = HashMap::from([LABEL].map(|(name, value)| (name.to_owned(), value.to_owned())));
                let info = Info { name: key.to_owned(), labels, ..Info::default() };
                let method = "containerd.services.snapshots.v1.Snapshots/Update";
                connection.call::<_, Empty>(method, Update { info: Some(info) }).map(drop)
            }
            Self::Usage => ask(connection, "Usage", key, ""),
            Self::List => rows(connection).map(drop),
            Self::Remove => ask(connection, "Remove", key, ""),
            Self::Cleanup => ask(connection, "Cleanup", "", ""),
        }
    }

    /// Whether the call makes the snapshot that it is for.
    fn is_creation(self) -> bool {
        matches!(self, Self::Prepare | Self::View)
    }

    /// Whether it has been done, by what there is; `None` if there is what neither before nor after it should be.
    fn is_done(self, rows: &Rows, key: &str) -> Option<bool> {
        let kind = |name: &str| rows.get(name).map(|info| info.kind);
        match (self, kind(key), kind(&committed(key))) {
            (Self::Prepare | Self::View, None, None) | (Self::Commit, Some(ACTIVE), None) => Some(false),
            (Self::Prepare, Some(ACTIVE), None)
            | (Self::View, Some(VIEW), None)
            | (Self::Commit, None, Some(COMMITTED))
            | (Self::Remove, None, None) => Some(true),
            (Self::Remove, Some(ACTIVE), None) => Some(false),
            (Self::Update, Some(ACTIVE), None) => Some(!rows[key].labels.is_empty()),
            // Nothing that stays comes of these.
            (Self::Mounts | Self::Stat | Self::Usage | Self::List | Self::Cleanup, Some(ACTIVE), None) => {
                Some(true)
            }
            _ => None,
        }
    }

    /// What the same call is answered when it had been done already.
    fn when_done(self) -> Code {
        match self {
            Self::Prepare | Self::View | Self::Commit => Code::AlreadyExists,
            Self::Remove => Code::NotFound,
            _ => Code::Ok,
        }
    }
}

fn committed(key: &str) -> String {
    format!("{key}-committed")
}

/// Has the program answer a call and kills it so long after; answers with what came back.
fn cut_off(enclosure: &Enclosure, call: Call, key: &str, moment: Duration) -> Result<Result<(), Status>> {
    let process = served::start_alone(enclosure)?;
    let socket = served::socket(enclosure);
    let mut connection = Connection::new(&socket)?;
    if !call.is_creation() {
        ask(&mut connection, "Prepare", key, "base").map_err(|status| said(&status))?;
    }
    let (begins, begun) = mpsc::channel();
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || {
            begins.send(()).expect("the other end is there until this one was heard");
            call.make(&mut connection, key)
        });
        begun.recv()?;
        std::thread::sleep(moment);
        process.kill()?;
        answer.join().ok().context("the call panicked")
    })
}

/// Looks at what is there after a kill, and does again what was cut off.
fn look(enclosure: &Enclosure, call: Call, key: &str, answer: &Result<(), Status>) -> Result<()> {
    let process = served::start_alone(enclosure)?;
    let mut connection = Connection::new(&served::socket(enclosure))?;
    let found = rows(&mut connection).map_err(|status| said(&status))?;
    let is_done = call.is_done(&found, key).with_context(|| format!("half of it was done: {found:?}"))?;
    ensure!(is_done || answer.is_err(), "it was answered, and is not done: {found:?}");
    directories_are_those_of(&served::store(enclosure), &found)?;
    let again = call.make(&mut connection, key);
    let code = again.as_ref().err().map_or(Code::Ok, Status::code);
    let expected = if is_done { call.when_done() } else { Code::Ok };
    ensure!(code == expected, "the second time it is answered {again:?}, done before: {is_done}");
    let found = rows(&mut connection).map_err(|status| said(&status))?;
    ensure!(call.is_done(&found, key) == Some(true), "it is not done after the second time: {found:?}");
    for name in found.keys() {
        ask(&mut connection, "Usage", name, "").map_err(|status| said(&status))?;
        if found[name].kind != COMMITTED {
            ask(&mut connection, "Mounts", name, "").map_err(|status| said(&status))?;
        }
    }
    directories_are_those_of(&served::store(enclosure), &found)?;
    // Whoever has a connection is waited for.
    drop(connection);
    process.stop()
}

/// Each snapshot has its directory, and there are no others.
fn directories_are_those_of(store: &Path, rows: &Rows) -> Result<()> {
    let count = std::fs::read_dir(store.join("snapshotter/s"))?.count();
    ensure!(count == rows.len(), "{count} directories for {} snapshots: {rows:?}", rows.len());
    Ok(())
}

#[test]
fn the_snapshotter_is_killed_in_the_middle_of_each_call_and_has_done_it_or_not() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let enclosure = Enclosure::new()?;
    let process = served::start_alone(&enclosure)?;
    let mut connection = Connection::new(&served::socket(&enclosure))?;
    ask(&mut connection, "Prepare", "lowest", "").map_err(|status| said(&status))?;
    ask(&mut connection, "Commit", "base", "lowest").map_err(|status| said(&status))?;
    drop(connection);
    process.stop()?;
    let (mut cut, mut answered) = (0, 0);
    for call in ALL {
        for moment in MOMENTS_MICROSECONDS {
            let key = format!("{call:?}-{moment}");
            let answer = cut_off(&enclosure, call, &key, Duration::from_micros(moment))?;
            *if answer.is_ok() { &mut answered } else { &mut cut } += 1;
            look(&enclosure, call, &key, &answer).with_context(|| format!("{key}, {answer:?}"))?;
        }
    }
    ensure!(cut > 0 && answered > 0, "{cut} calls were cut off, and {answered} were not");
    Ok(())
}
