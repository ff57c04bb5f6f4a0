use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn helper(&self, name: &str, script: &str) {
        let path = self.write(&format!("bin/docker-credential-{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn environment(&self) -> Environment {
        let path = self.directory.path();
        Environment::empty(path).with("HOME", path.join("home")).with("PATH", path.join("bin"))
    }

    fn store(&self) -> CredentialStore {
        CredentialStore::new(&self.environment(), &[])
    }

    fn find(&self, registry: &str, repository: &str) -> Option<Secret> {
        self.store().find(registry, repository).unwrap().map(|found| found.secret)
    }
}

fn password(user: &str, password: &str) -> Option<Secret> {
    Some(Secret::Password { user: user.to_owned(), password: password.to_owned() })
}

// "ann:secret" and "bob:pass:word" in base64.
const ANN: &str = "YW5uOnNlY3JldA==";
const BOB: &str = "Ym9iOnBhc3M6d29yZA==";

#[test]
fn without_files_there_are_no_credentials() {
    assert_eq!(Home::new().find("quay.io", "a"), None);
}

#[test]
fn docker_config_keys_are_hosts_and_urls() {
    let home = Home::new();
    let text = format!(
        r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{ANN}"}},
            "https://host:5000/v2/":{{"auth":"{BOB}"}},"plain.example":{{"username":"u","password":"p"}}}}}}"#
    );
    home.write("home/.docker/config.json", &text);
    assert_eq!(home.find("docker.io", "library/debian"), password("ann", "secret"));
    assert_eq!(home.find("host:5000", "x"), password("bob", "pass:word"));
    assert_eq!(home.find("plain.example", "x"), password("u", "p"));
    assert_eq!(home.find("host", "x"), None);
    assert_eq!(home.find("plain.example.org", "x"), None);
}

#[test]
fn the_longest_namespace_wins() {
    let home = Home::new();
    let text = format!(
        r#"{{"auths":{{"quay.io":{{"auth":"{ANN}"}},"quay.io/team":{{"auth":"{BOB}"}},
            "quay.io/team/app":{{"identitytoken":"t"}}}}}}"#
    );
    home.write("home/.config/containers/auth.json", &text);
    assert_eq!(home.find("quay.io", "other"), password("ann", "secret"));
    assert_eq!(home.find("quay.io", "teamwork/x"), password("ann", "secret"));
    assert_eq!(home.find("quay.io", "team/x"), password("bob", "pass:word"));
    assert_eq!(home.find("quay.io", "team/app"), Some(Secret::IdentityToken("t".to_owned())));
}

#[test]
fn podmans_files_go_before_dockers() {
    let home = Home::new();
    let entry = |auth: &str| format!(r#"{{"auths":{{"q.io":{{"auth":"{auth}"}}}}}}"#);
    home.write("home/.docker/config.json", &entry(ANN));
    assert_eq!(home.find("q.io", "a"), password("ann", "secret"));
    home.write("home/.config/containers/auth.json", &entry("Yzpk"));
    assert_eq!(home.find("q.io", "a"), password("c", "d"));
    home.write("run/containers/0/auth.json", &entry(BOB));
    assert_eq!(home.find("q.io", "a"), password("bob", "pass:word"));
    let runtime = home.write("runtime/containers/auth.json", &entry("ZTpm"));
    let runtime = runtime.parent().unwrap().parent().unwrap();
    let store = CredentialStore::new(&home.environment().with("XDG_RUNTIME_DIR", runtime), &[]);
    assert_eq!(store.find("q.io", "a").unwrap().unwrap().secret, password("e", "f").unwrap());
    let docker = home.write("elsewhere/config.json", &entry("Zzpo"));
    let environment = Environment::empty("/nowhere").with("DOCKER_CONFIG", docker.parent().unwrap());
    let store = CredentialStore::new(&environment, &[]);
    assert_eq!(store.find("q.io", "a").unwrap().unwrap().secret, password("g", "h").unwrap());
}

#[test]
fn a_named_file_is_the_only_one_and_must_exist() {
    let home = Home::new();
    home.write("home/.docker/config.json", &format!(r#"{{"auths":{{"q.io":{{"auth":"{ANN}"}}}}}}"#));
    let named = home.write("named.json", "{}");
    let store = CredentialStore::new(&home.environment().with("REGISTRY_AUTH_FILE", &named), &[]);
    assert_eq!(store.find("q.io", "a").unwrap(), None);
    assert_eq!(store.searched(), [named.as_path()]);
    let store = CredentialStore::new(&home.environment(), &["/nowhere/auth.json".into()]);
    assert!(store.find("q.io", "a").unwrap_err().to_string().contains("/nowhere/auth.json"));
}

#[test]
fn of_several_files_the_first_that_knows_the_registry_counts_and_all_must_be_there() {
    let home = Home::new();
    let podman = home.write("auth.json", &format!(r#"{{"auths":{{"q.io":{{"auth":"{ANN}"}}}}}}"#));
    let text = format!(r#"{{"auths":{{"q.io":{{"auth":"{BOB}"}},"d.io":{{"auth":"{BOB}"}}}}}}"#);
    let docker = home.write("config.json", &text);
    let store = CredentialStore::new(&home.environment(), &[podman.clone(), docker.clone()]);
    assert_eq!(store.find("q.io", "a").unwrap().map(|found| found.secret), password("ann", "secret"));
    assert_eq!(store.find("d.io", "a").unwrap().map(|found| found.secret), password("bob", "pass:word"));
    store.check_given().unwrap();
    fs::remove_file(&docker).unwrap();
    for error in [store.find("d.io", "a").unwrap_err(), store.check_given().unwrap_err()] {
        assert!(error.to_string().contains(docker.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_helper_whose_program_is_named_is_not_looked_for() {
    let home = Home::new();
    home.helper("vault", "echo 'the one in PATH' >&2; exit 1");
    let program =
        home.write("opt/vault", "#!/bin/sh\nread -r s; echo '{\"Username\":\"u\",\"Secret\":\"p\"}'\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    home.write("home/.docker/config.json", r#"{"credHelpers":{"q.io":"vault"}}"#);
    let store = home.store().with_helpers([("vault".to_owned(), program.clone())].into());
    assert_eq!(store.find("q.io", "a").unwrap().map(|found| found.secret), password("u", "p"));
    fs::remove_file(&program).unwrap();
    let message = store.find("q.io", "a").unwrap_err().to_string();
    assert!(message.contains(&format!("there is no file {}", program.display())), "{message}");
}

#[test]
fn helpers_are_asked_before_the_file_itself() {
    let home = Home::new();
    home.helper(
        "one",
        r#"read server; printf '{"ServerURL":"%s","Username":"u","Secret":"%s"}' "$server" "$server""#,
    );
    home.helper(
        "token",
        r#"cat >/dev/null; echo '{"ServerURL":"","Username":"<token>","Secret":"refresh"}'"#,
    );
    let text = format!(
        r#"{{"credsStore":"one","credHelpers":{{"q.io":"token"}},"auths":{{"q.io":{{"auth":"{ANN}"}}}}}}"#
    );
    let path = home.write("home/.docker/config.json", &text);
    let found = home.store().find("q.io", "a").unwrap().unwrap();
    assert_eq!(found.secret, Secret::IdentityToken("refresh".to_owned()));
    assert!(found.to_string().contains("the helper token") && !found.to_string().contains("refresh"));
    assert!(found.origin.contains(path.to_str().unwrap()));
    assert_eq!(home.find("docker.io", "a"), password("u", "https://index.docker.io/v1/"));
    assert_eq!(home.find("other:5000", "a"), password("u", "other:5000"));
}

#[test]
fn a_helper_that_knows_nothing_leaves_the_file_to_answer() {
    let home = Home::new();
    home.helper("none", "echo 'credentials not found in native keychain'; exit 1");
    let text = format!(r#"{{"credsStore":"none","auths":{{"q.io":{{"auth":"{ANN}"}},"e.io":{{}}}}}}"#);
    home.write("home/.docker/config.json", &text);
    assert_eq!(home.find("q.io", "a"), password("ann", "secret"));
    assert_eq!(home.find("e.io", "a"), None);
}

#[test]
fn a_helper_that_hangs_is_killed_with_all_it_started() {
    let home = Home::new();
    let marker = home.directory.path().join("survived");
    home.helper("slow", &format!("(sleep 2; touch {}) & sleep 60", marker.display()));
    home.write("home/.docker/config.json", r#"{"credsStore":"slow"}"#);
    let store = home.store().with_helper_timeout(Duration::from_millis(300));
    let begun = std::time::Instant::now();
    // `sleep` and `touch` need a PATH of their own; the test's is inherited.
    let message = store.find("q.io", "a").unwrap_err().to_string();
    assert!(message.contains("did not answer within"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    std::thread::sleep(Duration::from_millis(2500).saturating_sub(begun.elapsed()));
    assert!(!marker.exists());
}

/// A command waits for signals in a thread, and has them blocked in all others: what those start would be deaf to them.
#[test]
fn a_helper_hears_signals_though_this_process_keeps_some_from_itself() {
    let home = Home::new();
    sealpack_kernel::interrupt::instead_of_ending(|_| ()).unwrap();
    home.helper(
        "mask",
        r#"while read -r name value; do
            case $name in SigBlk:) printf '{"Username":"mask","Secret":"%s"}' "$value";; esac
        done < /proc/self/status"#,
    );
    home.write("home/.docker/config.json", r#"{"credsStore":"mask"}"#);
    assert_eq!(home.find("q.io", "a"), password("mask", "0000000000000000"));
}

#[test]
fn helpers_that_fail_are_named() {
    let home = Home::new();
    home.helper("broken", "echo 'vault is sealed' >&2; exit 3");
    home.helper("babble", "echo hello");
    let message = |name: &str| {
        home.write("home/.docker/config.json", &format!(r#"{{"credHelpers":{{"q.io":"{name}"}}}}"#));
        home.store().find("q.io", "a").unwrap_err().to_string()
    };
    assert!(message("broken").contains("broken (named in"));
    assert!(message("broken").contains("vault is sealed"));
    home.helper("endless", r#"printf '{"Username":"u","Secret":"%0300000d"}' 1"#);
    assert!(message("endless").contains("answered with more than 256 KiB"), "{}", message("endless"));
    assert!(message("babble").contains("did not answer with JSON"));
    assert!(message("absent").contains("docker-credential-absent is not in PATH"));
    assert!(message("../x").contains("slash"));
}

/// What was on standard output was quoted whatever it was, the secret with it: in logs, and in what containerd tells whoever
/// starts a pod.
#[test]
fn a_helper_that_answers_and_fails_has_its_secret_in_no_error() {
    let home = Home::new();
    home.write("home/.docker/config.json", r#"{"credHelpers":{"q.io":"half"}}"#);
    let message = |script: &str| {
        home.helper("half", script);
        home.store().find("q.io", "a").unwrap_err().to_string()
    };
    for script in [
        r#"echo '{"ServerURL":"q.io","Username":"ann","Secret":"hunter2"}'; exit 1"#,
        r#"echo '"Secret":"hunter2"'; exit 1"#,
        r#"echo '{"Secret":"hunter2"}' >&2; exit 1"#,
        r#"printf '{"Username":"ann","Secret":"hunter2'; kill -9 $$"#,
    ] {
        let message = message(script);
        assert!(message.contains("failed for q.io") && !message.contains("hunter2"), "{message}");
    }
    assert!(message("exit 1").ends_with("failed for q.io without a word"));
    let message = message(r"printf '\033]0;x\007the vault\nis sealed'; exit 1");
    assert!(message.ends_with("failed for q.io: ]0;x the vault is sealed"), "{message:?}");
}

#[test]
fn broken_files_are_named_without_their_secrets() {
    let home = Home::new();
    let path = home.write("home/.docker/config.json", r#"{"auths":{"q.io":{"auth":["hunter2"]}}}"#);
    let message = home.store().find("q.io", "a").unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()) && !message.contains("hunter2"), "{message}");
    home.write("home/.docker/config.json", r#"{"auths":{"q.io":{"auth":"aHVudGVyMg=="}}}"#);
    let message = home.store().find("q.io", "a").unwrap_err().to_string();
    assert!(message.contains("USER:PASSWORD") && !message.contains("hunter2"), "{message}");
    home.write("home/.docker/config.json", "\n");
    assert_eq!(home.find("q.io", "a"), None);
}

#[test]
fn debugging_output_has_no_secrets() {
    let secret = password("user", "hunter2").unwrap();
    assert_eq!(format!("{secret:?}"), "Password(\"user\", …)");
}

/// `base64` folds its output, and Go, with it docker and podman, passes over the ends of the lines.
#[test]
fn auth_is_read_as_go_reads_it() {
    let home = Home::new();
    for (auth, found) in [
        (r"YW5uOn\nNlY3JldA==\n", Some("secret")),
        (r"YW5u\r\nOnNl\r\nY3JldA==\r\n", Some("secret")),
        (r"YW5uOnNlY3JldA=\n=", Some("secret")),
        ("YW5uOnNlY3JldA", Some("secret")),
        // Bits behind the last byte that are not zero.
        ("YW5uOnNlY3JldB==", Some("secret")),
        ("YW5uOnNlY3JldAAA", Some("secret")),
        (r"YW5u OnNlY3JldA==", None),
        (r"YW5u\tOnNlY3JldA==", None),
    ] {
        home.write("home/.docker/config.json", &format!(r#"{{"auths":{{"quay.io":{{"auth":"{auth}"}}}}}}"#));
        let read = home.store().find("quay.io", "a").ok().flatten().map(|found| found.secret);
        assert_eq!(read, found.and_then(|found| password("ann", found)), "{auth}");
    }
}

#[test]
fn nulls_in_files_of_credentials_are_what_is_not_there() {
    let home = Home::new();
    for text in [
        "null",
        r#"{"auths":null,"credHelpers":null,"credsStore":null}"#,
        r#"{"auths":{"quay.io":null}}"#,
        r#"{"auths":{"quay.io":{"auth":null,"username":null,"password":null,"identitytoken":null}}}"#,
        r#"{"auths":{"quay.io":{"auth":"","identitytoken":"","registrytoken":""}},"credsStore":""}"#,
        r#"{"credHelpers":{"quay.io":null}}"#,
    ] {
        home.write("home/.docker/config.json", text);
        assert_eq!(home.find("quay.io", "a"), None, "{text}");
    }
    let text =
        format!(r#"{{"auths":{{"quay.io/b":null,"quay.io":{{"auth":"{ANN}","identitytoken":null}}}}}}"#);
    home.write("home/.docker/config.json", &text);
    assert_eq!(home.find("quay.io", "b"), password("ann", "secret"));
    home.write("home/.docker/config.json", r#"{"credsStore":"nulls"}"#);
    home.helper("nulls", r#"echo '{"ServerURL":null,"Username":null,"Secret":null}'"#);
    assert_eq!(home.find("quay.io", "b"), None);
}
