use super::*;
use crate::{Executable, check_places, find_command, keep_owners, missing_places};
use sealpack_format::tree::{Content, InodeId, Kind, Metadata, Tree};

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/var/www:/bin/false\n";
const GROUP: &[u8] = b"web:x:102:\nlogs:x:103:web\n";

/// A config with everything in it that a container is made of.
const CONFIG: &[u8] = br#"{
    "created": "2026-01-02T03:04:05Z", "author": "Somebody", "architecture": "amd64", "os": "linux",
    "config": {
        "User": "web", "ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Env": ["PATH=/usr/bin:/bin", "LANG=C"],
        "Entrypoint": ["/usr/bin/serve"], "Cmd": ["--all"], "Volumes": {"/var/www": {}}, "WorkingDir": "srv",
        "Labels": {"org.opencontainers.image.author": "Somebody else", "team": "web"}, "StopSignal": "SIGQUIT"
    },
    "rootfs": {"type": "layers", "diff_ids": []}
}"#;

const PROFILE: &[u8] = br#"{
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {"caps": ["CAP_SYS_ADMIN"]}}
    ]
}"#;

fn image() -> ImageConfig {
    ImageConfig::parse(CONFIG).unwrap()
}

fn accounts() -> Accounts {
    Accounts::parse(PASSWD, GROUP)
}

fn planned(wishes: &Wishes) -> Spec {
    plan(&image(), &accounts(), wishes, None).unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_read_only_container_is_written_as_it_always_was() {
    let wishes = Wishes { root: "rootfs".to_owned(), read_only: true, ..Wishes::default() };
    let profile = Profile::parse(PROFILE).unwrap();
    let machine = Machine { architecture: "amd64".to_owned(), kernel: (6, 12) };
    let spec = plan(&image(), &accounts(), &wishes, Some((&profile, &machine))).unwrap();
    assert_eq!(spec.to_json(), include_str!("../testdata/read-only.json"));
}

#[test]
fn a_container_with_every_wish_is_written_as_it_always_was() {
    let wishes = Wishes {
        root: "/run/sealpack/containers/1/rootfs".to_owned(),
        read_only: false,
        entrypoint: Some(words(&["sh"])),
        command: words(&["-c", "id"]),
        variables: words(&["LANG=de", "A=1"]),
        user: Some("0:logs".to_owned()),
        directory: Some("/tmp/".to_owned()),
        volumes: vec!["/srv/data:/data:ro".parse().unwrap()],
        tmpfs: vec!["/scratch:size=64m".parse().unwrap()],
        network: Network::Host,
        limits: Limits {
            memory: Some("512m".parse().unwrap()),
            cpus: Some("1.5".parse().unwrap()),
            processes: "100".parse().unwrap(),
        },
        add_capabilities: words(&["net_admin"]),
        drop_capabilities: words(&["chown"]),
        terminal: true,
        hostname: Some("box".to_owned()),
        cgroup: Some("/sealpack-1".to_owned()),
    };
    let spec = planned(&wishes);
    assert_eq!(spec.to_json(), include_str!("../testdata/every-wish.json"));
}

#[test]
fn only_what_was_added_is_kept_by_other_users_than_root() {
    let wishes = Wishes { add_capabilities: words(&["net_raw"]), ..Wishes::default() };
    let sets = planned(&wishes).process.capabilities;
    assert_eq!((sets.effective.len(), sets.ambient.len(), sets.bounding.len()), (1, 1, 12));
    let root = planned(&Wishes { user: Some("root".to_owned()), ..wishes }).process.capabilities;
    assert_eq!((root.effective.len(), root.ambient.len()), (12, 0));
}

#[test]
fn what_cannot_be_says_what_it_is() {
    let refused = |wishes: Wishes| plan(&image(), &accounts(), &wishes, None).unwrap_err().to_string();
    let user = |user: &str| Wishes { user: Some(user.to_owned()), ..Wishes::default() };
    assert_eq!(refused(user("nobody")), "there is no user \"nobody\" in the image's /etc/passwd");
    assert_eq!(refused(user("web:nogroup")), "there is no group \"nogroup\" in the image's /etc/group");
    let directory = |path: &str| Wishes { directory: Some(path.to_owned()), ..Wishes::default() };
    assert!(refused(directory("srv")).contains("\"srv\" is not an absolute path"));
    assert!(refused(directory("/a/../b")).contains("not an absolute path"));
    let nothing = ImageConfig { config: crate::image::Settings::default(), ..image() };
    let error = plan(&nothing, &accounts(), &Wishes::default(), None).unwrap_err();
    assert_eq!(error, Error::NoCommand);
    let mut bad = image();
    bad.config.stop_signal = "SIGNOTHING".to_owned();
    let error = plan(&bad, &accounts(), &Wishes::default(), None).unwrap_err().to_string();
    assert!(error.starts_with("the image's stop signal: \"SIGNOTHING\" is no signal"), "{error}");
}

/// A tree with these directories, executables (mode 0755) and links.
fn tree(directories: &[&str], programs: &[&str], links: &[(&str, &str)]) -> Tree {
    let metadata = |permissions| Metadata { permissions, ..Metadata::default() };
    let mut tree = Tree::new(metadata(0o755));
    let mut insert = |path: &str, inode: sealpack_format::tree::Inode| {
        let (above, name) = path.rsplit_once('/').unwrap();
        let parent = if above.is_empty() { InodeId::ROOT } else { tree.lookup(above.as_bytes()).unwrap() };
        tree.insert(parent, name.as_bytes(), inode).unwrap();
    };
    let inode = |permissions, kind| sealpack_format::tree::Inode::new(metadata(permissions), kind);
    directories.iter().for_each(|path| insert(path, inode(0o755, Kind::Directory(Default::default()))));
    for path in programs {
        insert(path, inode(0o755, Kind::Regular(Content::Inline(b"#!".to_vec().into()))));
    }
    for (path, target) in links {
        insert(path, inode(0o777, Kind::Symlink(target.as_bytes().to_vec().into())));
    }
    insert("/data.txt", inode(0o644, Kind::Regular(Content::Inline(b"".to_vec().into()))));
    tree
}

#[test]
fn a_program_is_found_in_the_image_as_the_container_would_find_it() {
    let tree = tree(
        &["/usr", "/usr/bin"],
        &["/usr/bin/serve"],
        &[("/bin", "usr/bin"), ("/usr/bin/again", "/bin/serve")],
    );
    let found = |program: &str, wishes: Wishes| {
        let spec = planned(&Wishes { entrypoint: Some(words(&[program])), ..wishes });
        find_command(&tree, &spec.process, &spec.mounts)
    };
    let at = |path: &str| Executable::At(path.to_owned());
    assert_eq!(found("serve", Wishes::default()), at("/usr/bin/serve"));
    assert_eq!(found("again", Wishes::default()), at("/usr/bin/again"));
    assert_eq!(found("/bin/serve", Wishes::default()), at("/bin/serve"));
    let in_usr = Wishes { directory: Some("/usr".to_owned()), ..Wishes::default() };
    assert_eq!(found("bin/serve", in_usr.clone()), at("/usr/bin/serve"));
    assert_eq!(found("/data.txt", Wishes::default()), Executable::NotExecutable("/data.txt".to_owned()));
    assert_eq!(found("/usr", Wishes::default()), Executable::NotExecutable("/usr".to_owned()));
    assert_eq!(
        found("nothing", Wishes::default()),
        Executable::Nowhere(words(&["/usr/bin/nothing", "/bin/nothing"]))
    );
    assert_eq!(found("./serve", in_usr), Executable::Nowhere(words(&["/usr/./serve"])));
    let mounted = Wishes { volumes: vec!["/x:/opt".parse().unwrap()], ..Wishes::default() };
    assert_eq!(found("/opt/tool", mounted), Executable::Unknown);
}

#[test]
fn what_runtimes_would_have_to_make_is_named() {
    let tree = tree(
        &["/proc", "/dev", "/run", "/srv", "/var", "/var/www"],
        &["/hosts"],
        &[("/sys", "srv"), ("/tmp", "nowhere")],
    );
    let wishes = Wishes {
        read_only: true,
        volumes: vec![
            Volume { is_file: true, .."/h:/hosts".parse().unwrap() },
            Volume { is_file: true, .."/h:/srv".parse().unwrap() },
            "/h:/run/below".parse().unwrap(),
        ],
        ..Wishes::default()
    };
    assert_eq!(missing_places(&tree, &planned(&wishes)), ["/srv", "/tmp", "/var/tmp"]);
    let nothing = self::tree(&[], &[], &[]);
    let bare = planned(&Wishes { directory: Some("/".to_owned()), ..Wishes::default() });
    assert_eq!(missing_places(&nothing, &bare), ["/dev", "/proc", "/sys"]);
}

#[test]
fn what_is_in_memory_in_the_place_of_a_directory_belongs_to_whom_that_belongs() {
    let mut tree = tree(&["/var", "/var/www", "/tmp"], &[], &[]);
    let id = tree.lookup(b"/var/www").unwrap();
    let metadata = &mut tree.inode_mut(id).metadata;
    (metadata.uid, metadata.gid, metadata.permissions) = (101, 102, 0o1750);
    let mut spec = planned(&Wishes { read_only: true, ..Wishes::default() });
    keep_owners(&tree, &mut spec);
    let options = |path: &str| {
        let mount = spec.mounts.iter().find(|mount| mount.destination == path).unwrap();
        mount.options[3..].join(",")
    };
    assert_eq!(options("/var/www"), "tmpcopyup,mode=1750,uid=101,gid=102");
    assert_eq!(options("/tmp"), "tmpcopyup,mode=0755,uid=0,gid=0");
    assert_eq!(options("/run"), "tmpcopyup,mode=0755", "the image has no such directory");
}

/// Runtimes fill what an image has in memory with what is in its place, which they read on the host, as root and before anything is
/// masked: an image had them read all of /proc and /sys.
#[test]
fn what_an_image_has_in_memory_lies_on_nothing_that_shows_the_machine() {
    let directories = ["/proc", "/sys", "/dev", "/dev/shm", "/var", "/var/www", "/tmp"];
    let long: Vec<(String, String)> = (0..60).map(|at| (format!("/l{at}"), format!("l{}", at + 1))).collect();
    let mut links = vec![
        ("/data", "/proc"),
        ("/up", "var/../sys/kernel"),
        ("/top", "/"),
        ("/www", "var/www"),
        ("/mem", "dev/shm"),
    ];
    links.extend(long.iter().map(|(from, to)| (from.as_str(), to.as_str())));
    let whole = tree(&directories, &[], &links);
    let bare = tree(&[], &[], &[("/data", "/proc/fs")]);
    let at = |tree: &Tree, volume: &str| {
        let mut image = image();
        image.config.volumes = vec![volume.to_owned()];
        let wishes = Wishes { read_only: true, ..Wishes::default() };
        plan(&image, &accounts(), &wishes, None).and_then(|spec| check_places(tree, &spec))
    };
    for volume in [
        "/proc/fs",
        "/proc/self/task",
        "/sys/kernel",
        "/dev/pts/x",
        "/data",
        "/data/x/y",
        "/up",
        "/top",
        "/l0",
    ] {
        assert_eq!(at(&whole, volume), Err(Error::InMachine(volume.to_owned())));
    }
    assert_eq!(at(&bare, "/data/x"), Err(Error::InMachine("/data/x".to_owned())));
    assert_eq!(at(&bare, "/sys/x"), Err(Error::InMachine("/sys/x".to_owned())));
    for volume in ["/proc", "/dev/shm", "/var/www", "/www", "/www/proc", "/mem", "/procs", "/var/dev"] {
        assert_eq!(at(&whole, volume), Ok(()), "{volume}");
        assert_eq!(at(&bare, volume), Ok(()), "{volume}");
    }
    let of_tmp = tree(&["/sys"], &[], &[("/tmp", "sys")]);
    assert_eq!(at(&of_tmp, "/var/www"), Err(Error::InMachine("/tmp".to_owned())));
}
