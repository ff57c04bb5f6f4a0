//! In the place of `crictl`, for tests of what docs/kubernetes.md has people type: the commands that are there, with the same
//! words, files and output.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sealpack_test_cri::connection::{Connection, Empty, said};
use sealpack_test_cri::messages::{
    ContainerConfig, ContainerName, ContainerSecurity, CreateContainerRequest, ExecSyncRequest, Executed,
    Identifier, ImageSpec, LinuxContainer, LinuxPod, Listed, ListedContainers, ListedPods, NamespaceOption,
    PodConfig, PodName, PodSecurity, PullImageRequest, RunPodSandboxRequest,
};
use serde_json::Value;

/// `ContainerState.CONTAINER_RUNNING`.
const RUNNING: i32 = 1;

/// A variable with what cgroups are below where a pod's file says nothing of it: a test sweeps them.
const CGROUP: &str = "CRICTL_TEST_CGROUP";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut client = Client(Connection::new(Path::new(&socket()?))?);
    let printed = match words[..] {
        ["pull", image] => client.pull(image)?,
        ["runp", pod] => client.run_pod(pod_config(pod)?)?,
        ["create", pod, container, config] => client.create(pod, container_config(container)?, config)?,
        ["start", container] => client.simple("StartContainer", container)?,
        ["exec", "--sync", container, ref command @ ..] => return client.execute(container, command),
        ["pods", "--name", name, "-q"] => client.pods(name)?,
        ["ps", "-a", "--name", name, "-q"] => client.containers(name, false)?,
        ["ps", "--name", name, "-q"] => client.containers(name, true)?,
        ["rm", "-f", container] => {
            client.simple("StopContainer", container)?;
            client.simple("RemoveContainer", container)?
        }
        ["rmp", "-f", pod] => {
            client.simple("StopPodSandbox", pod)?;
            client.simple("RemovePodSandbox", pod)?
        }
        _ => bail!("not a command that is played here: {words:?}"),
    };
    Ok(writeln!(std::io::stdout(), "{printed}")?)
}

/// Where containerd answers, by the file that crictl looks into.
fn socket() -> Result<String> {
    let text = std::fs::read_to_string("/etc/crictl.yaml").context("/etc/crictl.yaml")?;
    let endpoint = text.lines().find_map(|line| line.strip_prefix("runtime-endpoint: unix://"));
    Ok(endpoint.context("/etc/crictl.yaml has no runtime-endpoint")?.to_owned())
}

struct Client(Connection);

impl Client {
    fn ask<A: prost::Message + Default + 'static>(
        &mut self,
        method: &str,
        request: impl prost::Message + 'static,
    ) -> Result<A> {
        let answer = self.0.call(&format!("runtime.v1.{method}"), request);
        answer.map_err(|status| said(&status)).with_context(|| method.to_owned())
    }

    fn pull(&mut self, image: &str) -> Result<String> {
        let image = Some(ImageSpec { image: image.to_owned() });
        let answer: Identifier =
            self.ask("ImageService/PullImage", PullImageRequest { image, sandbox_config: None })?;
        Ok(format!("Image is up to date for {}", answer.id))
    }

    fn run_pod(&mut self, config: PodConfig) -> Result<String> {
        let request = RunPodSandboxRequest { config: Some(config) };
        Ok(self.ask::<Identifier>("RuntimeService/RunPodSandbox", request)?.id)
    }

    fn create(&mut self, pod: &str, config: ContainerConfig, of_pod: &str) -> Result<String> {
        let sandbox_config = Some(pod_config(of_pod)?);
        let request = CreateContainerRequest { pod: pod.to_owned(), config: Some(config), sandbox_config };
        Ok(self.ask::<Identifier>("RuntimeService/CreateContainer", request)?.id)
    }

    fn execute(&mut self, container: &str, command: &[&str]) -> Result<()> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container: container.to_owned(), command, timeout_seconds: 60 };
        let executed: Executed = self.ask("RuntimeService/ExecSync", request)?;
        std::io::stdout().write_all(&executed.stdout)?;
        std::io::stderr().write_all(&executed.stderr)?;
        ensure!(executed.exit_code == 0, "it ended with {}", executed.exit_code);
        Ok(())
    }

    fn pods(&mut self, name: &str) -> Result<String> {
        let listed: ListedPods = self.ask("RuntimeService/ListPodSandbox", Empty {})?;
        let is_it = |pod: &Listed| pod.metadata.as_ref().is_some_and(|metadata| metadata.name == name);
        Ok(listed.pods.into_iter().filter(is_it).map(|pod| pod.id).collect::<Vec<_>>().join("\n"))
    }

    fn containers(&mut self, name: &str, only_running: bool) -> Result<String> {
        let listed: ListedContainers = self.ask("RuntimeService/ListContainers", Empty {})?;
        let found = listed.containers.into_iter().filter(|container| {
            let is_it = container.metadata.as_ref().is_some_and(|metadata| metadata.name == name);
            is_it && (!only_running || container.state == RUNNING)
        });
        Ok(found.map(|container| container.id).collect::<Vec<_>>().join("\n"))
    }

    /// A call that is told an identifier, and answers nothing.
    fn simple(&mut self, method: &str, id: &str) -> Result<String> {
        self.ask::<Empty>(&format!("RuntimeService/{method}"), Identifier { id: id.to_owned() })?;
        Ok(id.to_owned())
    }
}

fn json(path: &str) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    serde_json::from_str(&text).with_context(|| path.to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The network of what `linux` says.
fn network(config: &Value) -> Option<NamespaceOption> {
    let network = config["linux"]["security_context"]["namespace_options"]["network"].as_i64()?;
    Some(NamespaceOption { network: i32::try_from(network).ok()? })
}

fn pod_config(path: &str) -> Result<PodConfig> {
    let config = json(path)?;
    let metadata = &config["metadata"];
    let (name, uid) = (text(&metadata["name"]), text(&metadata["uid"]));
    let metadata = PodName { name, uid, namespace: text(&metadata["namespace"]) };
    let cgroup = std::env::var(CGROUP).unwrap_or_default();
    let cgroup_parent = config["linux"]["cgroup_parent"].as_str().map(str::to_owned).unwrap_or(cgroup);
    let linux = LinuxPod { cgroup_parent, security: Some(PodSecurity { namespaces: network(&config) }) };
    Ok(PodConfig {
        metadata: Some(metadata),
        log_directory: text(&config["log_directory"]),
        linux: Some(linux),
    })
}

fn container_config(path: &str) -> Result<ContainerConfig> {
    let config = json(path)?;
    let command = config["command"].as_array().map(|words| words.iter().map(text).collect());
    let security = Some(ContainerSecurity { namespaces: network(&config) });
    Ok(ContainerConfig {
        metadata: Some(ContainerName { name: text(&config["metadata"]["name"]) }),
        image: Some(ImageSpec { image: text(&config["image"]["image"]) }),
        command: command.unwrap_or_default(),
        log_path: text(&config["log_path"]),
        linux: Some(LinuxContainer { security }),
    })
}
