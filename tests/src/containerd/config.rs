//! What a test's containerd is told: everything that it would otherwise keep in places of the machine's own.

use super::{Enclosure, Engine, Runtime};
use crate::unpacked::{Unpacked, is_library};
use std::fmt::Write as _;
use std::path::PathBuf;

/// How a containerd is set up.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What its shim starts containers with.
    pub runtime: Runtime,
    /// Which snapshotter the CRI plugin uses, by name.
    pub snapshotter: String,
    /// A snapshotter and a differ of another program.
    pub proxy: Option<Proxy>,
    /// The image that pods are kept by.
    pub pause: String,
    /// The settings by which `sealpack containerd configure` is to edit the file.
    pub edited_by: Option<PathBuf>,
    /// Where programs are looked for that a snapshotter of containerd's own needs besides.
    pub tools: Option<PathBuf>,
}

/// containerd's snapshotter of EROFS images, and its differ that makes them.
const EROFS: &str = "erofs";

/// Where another program answers as snapshotter and as differ.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The snapshotter's name; the differ's is the same with "-diff".
    pub name: String,
    /// The socket.
    pub socket: PathBuf,
    /// Where its data are.
    pub root: PathBuf,
    /// Whether it is a differ too.
    pub has_differ: bool,
}

impl Setting {
    /// With a snapshotter of containerd's own.
    pub fn stock(snapshotter: &str) -> Self {
        let pause = super::images::PAUSE.to_owned();
        Self {
            runtime: Runtime::Runc,
            snapshotter: snapshotter.to_owned(),
            proxy: None,
            pause,
            edited_by: None,
            tools: None,
        }
    }

    /// With containerd's own snapshotter of EROFS images, which is new in 2.1. It needs a newer mkfs.erofs than machines of
    /// Debian 12 have: that of the release which has the containerd, unpacked beside it.
    ///
    /// # Errors
    /// If Debian's package cannot be fetched or unpacked.
    pub fn erofs() -> anyhow::Result<Self> {
        let unpacked = Unpacked {
            name: "erofs-utils",
            suite: "sid",
            packages: &["erofs-utils"],
            follow: is_library,
            relink: true,
        };
        Ok(Self { tools: Some(unpacked.root()?.join("usr/bin")), ..Self::stock(EROFS) })
    }

    /// With another program's snapshotter.
    pub fn proxy(proxy: Proxy) -> Self {
        Self { snapshotter: proxy.name.clone(), proxy: Some(proxy), ..Self::stock("") }
    }

    /// With a snapshotter of containerd's own, until `sealpack containerd configure` edits that by these settings.
    pub fn edited_by(settings: PathBuf) -> Self {
        Self { snapshotter: "sealpack".to_owned(), edited_by: Some(settings), ..Self::stock("") }
    }

    /// What the CRI plugin is told before the file is edited.
    fn snapshotter(&self) -> &str {
        if self.edited_by.is_some() { "overlayfs" } else { &self.snapshotter }
    }

    /// With another runtime.
    #[must_use]
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// With the pause image of this whole name.
    #[must_use]
    pub fn pause(mut self, image: &str) -> Self {
        image.clone_into(&mut self.pause);
        self
    }

    /// containerd's configuration file.
    pub(super) fn text(&self, engine: Engine, enclosure: &Enclosure) -> anyhow::Result<String> {
        let runtime = engine.programs()?.runtime(self.runtime);
        let mut text = String::new();
        common(&mut text, engine, enclosure)?;
        if engine.is_second() {
            self.second(&mut text, enclosure, &runtime.display().to_string())?;
        } else {
            self.first(&mut text, enclosure, &runtime.display().to_string())?;
        }
        if let Some(proxy) = &self.proxy {
            proxy.write(&mut text, engine)?;
        }
        if self.snapshotter == EROFS {
            // Immutable files would be left when the test has ended.
            writeln!(text, "[plugins.\"io.containerd.snapshotter.v1.erofs\"]\nset_immutable = false")?;
            write_differ(&mut text, engine, (EROFS, EROFS))?;
        }
        Ok(text)
    }

    /// The CRI plugin of 1.x.
    fn first(&self, text: &mut String, enclosure: &Enclosure, runtime: &str) -> std::fmt::Result {
        let hosts = enclosure.data("hosts.d");
        writeln!(
            text,
            r#"
            [plugins."io.containerd.grpc.v1.cri"]
            restrict_oom_score_adj = true
            disable_tcp_service = true
            sandbox_image = "{pause}"
            [plugins."io.containerd.grpc.v1.cri".registry]
            config_path = "{hosts}"
            [plugins."io.containerd.grpc.v1.cri".containerd]
            snapshotter = "{snapshotter}"
            disable_snapshot_annotations = false
            default_runtime_name = "runc"
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
            runtime_type = "io.containerd.runc.v2"
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            BinaryName = "{runtime}"
            "#,
            pause = self.pause,
            hosts = hosts.display(),
            snapshotter = self.snapshotter(),
        )
    }

    /// The CRI plugins of 2.x.
    fn second(&self, text: &mut String, enclosure: &Enclosure, runtime: &str) -> std::fmt::Result {
        let hosts = enclosure.data("hosts.d");
        writeln!(
            text,
            r#"
            [plugins."io.containerd.grpc.v1.cri"]
            disable_tcp_service = true
            [plugins."io.containerd.nri.v1.nri"]
            disable = true
            [plugins."io.containerd.cri.v1.images"]
            snapshotter = "{snapshotter}"
            [plugins."io.containerd.cri.v1.images".pinned_images]
            sandbox = "{pause}"
            [plugins."io.containerd.cri.v1.images".registry]
            config_path = "{hosts}"
            [plugins."io.containerd.cri.v1.runtime"]
            restrict_oom_score_adj = true
            [plugins."io.containerd.cri.v1.runtime".containerd]
            default_runtime_name = "runc"
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
            runtime_type = "io.containerd.runc.v2"
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
            BinaryName = "{runtime}"
            "#,
            pause = self.pause,
            hosts = hosts.display(),
            snapshotter = self.snapshotter(),
        )
    }
}

/// Where it keeps what it has.
fn common(text: &mut String, engine: Engine, enclosure: &Enclosure) -> std::fmt::Result {
    writeln!(
        text,
        r#"
        version = {version}
        root = "{root}"
        state = "{state}"
        [grpc]
        address = "{socket}"
        [ttrpc]
        address = "{socket}.ttrpc"
        [debug]
        level = "info"
        [plugins."io.containerd.internal.v1.opt"]
        path = "{opt}"
        "#,
        version = if engine.is_second() { 3 } else { 2 },
        root = enclosure.data("root").display(),
        state = enclosure.data("state").display(),
        socket = enclosure.socket("containerd.sock").display(),
        opt = enclosure.data("opt").display(),
    )
}

impl Proxy {
    fn write(&self, text: &mut String, engine: Engine) -> std::fmt::Result {
        let (name, socket, root) = (&self.name, self.socket.display(), self.root.display());
        writeln!(
            text,
            r#"
            [proxy_plugins.{name}]
            type = "snapshot"
            address = "{socket}"
            [proxy_plugins.{name}.exports]
            root = "{root}"
            enable_remote_snapshot_annotations = "true"
            "#
        )?;
        // 1.6 cannot have another program's differ: it panics.
        if !self.has_differ || engine == Engine::V1_6 {
            return write_unpacking(text, engine, (name, WALKING));
        }
        writeln!(
            text,
            r#"
            [proxy_plugins.{name}-diff]
            type = "diff"
            address = "{socket}"
            "#
        )?;
        write_differ(text, engine, (name, &format!("{name}-diff")))
    }
}

/// The differ that containerd unpacks with by itself.
const WALKING: &str = "walking";

/// That layers are applied by a differ of one's own, for a snapshotter.
fn write_differ(text: &mut String, engine: Engine, (snapshotter, differ): (&str, &str)) -> std::fmt::Result {
    writeln!(
        text,
        r#"
        [plugins."io.containerd.service.v1.diff-service"]
        default = ["{differ}", "{WALKING}"]
        "#
    )?;
    write_unpacking(text, engine, (snapshotter, differ))
}

/// The same for the service by which 2.x unpacks what it has transferred.
fn write_unpacking(text: &mut String, engine: Engine, ours: (&str, &str)) -> std::fmt::Result {
    if !engine.is_second() {
        return Ok(());
    }
    let platform = format!("linux/{}", crate::layout::architecture());
    for (snapshotter, differ) in [ours, ("overlayfs", WALKING)] {
        writeln!(
            text,
            r#"
            [[plugins."io.containerd.transfer.v1.local".unpack_config]]
            platform = "{platform}"
            snapshotter = "{snapshotter}"
            differ = "{differ}"
            "#
        )?;
    }
    Ok(())
}
