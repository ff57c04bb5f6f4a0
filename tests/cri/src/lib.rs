//! What Kubernetes asks of containerd: a client of CRI, the container runtime interface, over its unix socket.

pub mod connection;
pub mod messages;
pub mod snapshots;

use anyhow::{Context, Result};
use connection::{Connection, Empty, said};
use messages::{
    ContainerConfig, ContainerName, ContainerSecurity, ContainerStatsResponse, CreateContainerRequest,
    ExecSyncRequest, Executed, FilesystemUsage, Identifier, ImageFsInfoResponse, ImageSpec, LinuxContainer,
    LinuxPod, NODE, NamespaceOption, PodConfig, PodName, PodSecurity, PullImageRequest, RemoveImageRequest,
    RunPodSandboxRequest, Stats,
};
use prost::Message;
use std::path::Path;
use std::time::{Duration, Instant};

/// A client of one containerd.
pub struct Client {
    connection: Connection,
    /// What cgroups of pods are below, and their logs.
    cgroup: String,
    logs: String,
}

/// A pod that runs.
pub struct Pod {
    /// Its identifier.
    pub id: String,
    config: PodConfig,
}

impl Client {
    /// Connects, and waits until the plugin is there that answers.
    ///
    /// # Errors
    /// If nobody listens on `socket`, or the plugin does not come up.
    pub fn connect(socket: &Path, cgroup: &str, logs: &Path) -> Result<Self> {
        let connection = Connection::new(socket)?;
        let logs = logs.display().to_string();
        let mut client = Self { connection, cgroup: cgroup.to_owned(), logs };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match client.connection.call::<_, Empty>("runtime.v1.RuntimeService/Version", Empty {}) {
                Ok(_) => return Ok(client),
                Err(status) if Instant::now() > deadline => return Err(said(&status)),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn ask<A: Message + Default + 'static>(
        &mut self,
        method: &str,
        request: impl Message + 'static,
    ) -> Result<A> {
        self.connection
            .call(method, request)
            .map_err(|status| said(&status))
            .with_context(|| method.to_owned())
    }

    /// Pulls an image; answers with what it is called then.
    pub fn pull(&mut self, image: &str) -> Result<String> {
        let request = PullImageRequest { image: Some(spec(image)), sandbox_config: None };
        let answer: Identifier = self.ask("runtime.v1.ImageService/PullImage", request)?;
        Ok(answer.id)
    }

    /// Removes an image by name.
    pub fn remove_image(&mut self, image: &str) -> Result<()> {
        let request = RemoveImageRequest { image: Some(spec(image)) };
        self.ask::<Empty>("runtime.v1.ImageService/RemoveImage", request).map(drop)
    }

    /// What images take.
    pub fn image_filesystem(&mut self) -> Result<FilesystemUsage> {
        let answer: ImageFsInfoResponse = self.ask("runtime.v1.ImageService/ImageFsInfo", Empty {})?;
        answer.images.into_iter().next().context("there is no filesystem of images")
    }

    /// Starts a pod in the machine's network.
    pub fn run_pod(&mut self, name: &str) -> Result<Pod> {
        let metadata = PodName { name: name.to_owned(), uid: name.to_owned(), namespace: "test".to_owned() };
        let security = PodSecurity { namespaces: Some(NamespaceOption { network: NODE }) };
        let linux = LinuxPod { cgroup_parent: self.cgroup.clone(), security: Some(security) };
        // Without a host's name: the network's is the machine's.
        let config =
            PodConfig { metadata: Some(metadata), log_directory: self.logs.clone(), linux: Some(linux) };
        let request = RunPodSandboxRequest { config: Some(config.clone()) };
        let answer: Identifier = self.ask("runtime.v1.RuntimeService/RunPodSandbox", request)?;
        Ok(Pod { id: answer.id, config })
    }

    /// Makes a container in a pod; answers with its identifier.
    pub fn create(&mut self, pod: &Pod, name: &str, image: &str, command: &[&str]) -> Result<String> {
        let security = ContainerSecurity { namespaces: Some(NamespaceOption { network: NODE }) };
        let config = ContainerConfig {
            metadata: Some(ContainerName { name: name.to_owned() }),
            image: Some(spec(image)),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainer { security: Some(security) }),
        };
        let request = CreateContainerRequest {
            pod: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let answer: Identifier = self.ask("runtime.v1.RuntimeService/CreateContainer", request)?;
        Ok(answer.id)
    }

    /// Starts a container.
    pub fn start(&mut self, container: &str) -> Result<()> {
        self.simple("StartContainer", container)
    }

    /// Runs a command in a container to its end.
    pub fn execute(&mut self, container: &str, command: &[&str]) -> Result<Executed> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container: container.to_owned(), command, timeout_seconds: 60 };
        self.ask("runtime.v1.RuntimeService/ExecSync", request)
    }

    /// What a container takes.
    pub fn stats(&mut self, container: &str) -> Result<Stats> {
        let request = Identifier { id: container.to_owned() };
        let answer: ContainerStatsResponse = self.ask("runtime.v1.RuntimeService/ContainerStats", request)?;
        answer.stats.context("there are no figures of the container")
    }

    /// Ends and removes a container.
    pub fn remove(&mut self, container: &str) -> Result<()> {
        // Without a time: at once.
        self.simple("StopContainer", container)?;
        self.simple("RemoveContainer", container)
    }

    /// Ends and removes a pod.
    pub fn remove_pod(&mut self, pod: &Pod) -> Result<()> {
        self.simple("StopPodSandbox", &pod.id)?;
        self.simple("RemovePodSandbox", &pod.id)
    }

    /// A call that is told an identifier and answers nothing.
    fn simple(&mut self, method: &str, id: &str) -> Result<()> {
        let request = Identifier { id: id.to_owned() };
        self.ask::<Empty>(&format!("runtime.v1.RuntimeService/{method}"), request).map(drop)
    }
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned() }
}
