//! Starting a container.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use aviary_api::inject::PROXY_CONTAINER;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::{RETRY, Worker};
use crate::init;
use crate::init::client::call;
use crate::init::protocol::{Mount, Request, Start};
use crate::pod::catalog::{self, Programs};
use crate::pod::proxy::{self, is_proxy};
use crate::pod::record::{Run, Trouble};

/// How long the first report of an unknown image stands.
const SHOWN: Duration = Duration::from_millis(900);
/// How long init may take to answer a start.
const PATIENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// Starts the named containers; what fails is told and tried again later.
    pub(super) async fn start_all(&mut self, names: &[String]) {
        if !self.ensure_sandbox().await {
            return;
        }
        if let Err(message) = Box::pin(self.ensure_volumes()).await {
            self.tell_once("FailedMount", message);
            self.wake_in(RETRY);
            return;
        }
        for name in names {
            let Some(container) = self.container(name) else {
                continue;
            };
            if let Err(trouble) = self.start(&container).await {
                self.troubled(&container, trouble);
            }
        }
    }

    async fn start(&mut self, container: &Container) -> Result<(), Trouble> {
        let image = container.image.clone().unwrap_or_default();
        let argv = self.argv(container, &image)?;
        let record = self.records.entry(container.name.clone()).or_default();
        let attempt = match record.run {
            Run::Never => record.attempt,
            _ => record.attempt + 1,
        };
        let env = self
            .environment(container)
            .await
            .map_err(|message| Trouble {
                reason: "CreateContainerConfigError",
                message,
            })?;
        let (listen, fds): (Vec<u16>, Vec<RawFd>) = self.listeners(container).into_iter().unzip();
        let sidecar = is_proxy(container) || container.name == PROXY_CONTAINER;
        let start = Start {
            name: container.name.clone(),
            attempt,
            argv,
            env,
            cwd: container.working_dir.as_ref().map(PathBuf::from),
            mounts: self.mounts(container).map_err(|message| Trouble {
                reason: "CreateContainerConfigError",
                message,
            })?,
            log: self
                .folder
                .join("logs")
                .join(format!("{}.log", container.name)),
            sidecar,
            reveal: if sidecar { self.revealed() } else { Vec::new() },
            listen,
        };
        self.tell(
            &container.name,
            "Pulled",
            format!("Container image \"{image}\" already present on machine"),
        );
        self.tell(
            &container.name,
            "Created",
            format!("Created container: {}", container.name),
        );
        let answer = call(&self.socket, Request::Start(Box::new(start)), fds);
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(_)) => {
                self.tell(
                    &container.name,
                    "Started",
                    format!("Started container {}", container.name),
                );
            }
            Ok(Err(init::Error::Refused(message))) => {
                self.warn(&container.name, "Failed", format!("Error: {message}"));
            }
            // Init itself is in trouble; its state says what became of the container.
            Ok(Err(_)) | Err(_) => return Ok(()),
        }
        self.await_attempt(&container.name, attempt).await;
        Ok(())
    }

    /// Waits until init's state shows the attempt, so that it is not started twice.
    async fn await_attempt(&mut self, name: &str, attempt: u32) {
        loop {
            let seen = |worker: &Self| {
                worker
                    .records
                    .get(name)
                    .is_some_and(|record| record.attempt == attempt && record.run != Run::Never)
            };
            if seen(self) || self.states.is_none() {
                return;
            }
            let state = super::next_state(&mut self.states);
            match tokio::time::timeout(PATIENCE, state).await {
                Ok(state) => self.take_state(state),
                Err(_) => return,
            }
        }
    }

    fn argv(&self, container: &Container, image: &str) -> Result<Vec<String>, Trouble> {
        let programs = Programs {
            folder: &self.context.programs,
            proxy: &self.context.proxy,
        };
        let command = container.command.as_deref().unwrap_or_default();
        let args = container.args.as_deref().unwrap_or_default();
        let known = catalog::command(image, &self.context.user_images(), programs);
        if known.is_none() && command.is_empty() {
            return Err(Trouble {
                reason: "ErrImagePull",
                message: format!(
                    "image \"{image}\" is not in the image catalog: add it with \
                     `aviary image add {image} -- COMMAND...`, or set `command:` in the container"
                ),
            });
        }
        Ok(catalog::argv(
            known.unwrap_or_default(),
            command,
            args,
            is_proxy(container),
        ))
    }

    /// Listening sockets of the host that are meant for this container, by container port.
    fn listeners(&self, container: &Container) -> Vec<(u16, RawFd)> {
        if proxy::role(&self.pod) != Some(proxy::Role::Router) || !is_proxy(container) {
            return Vec::new();
        }
        let labels = self.pod.metadata.labels.as_ref();
        if labels
            .and_then(|labels| labels.get("istio"))
            .map(String::as_str)
            != Some("ingressgateway")
        {
            return Vec::new();
        }
        self.context.listen_fds.clone()
    }

    /// A sidecar reaches the control plane by a socket that is made anew when the control plane restarts: it needs the
    /// folder, not the socket.
    fn revealed(&self) -> Vec<PathBuf> {
        vec![self.context.home.join("run"), self.folder.join("proxy")]
    }

    fn mounts(&self, container: &Container) -> Result<Vec<Mount>, String> {
        let mut mounts = Vec::new();
        for mount in container.volume_mounts.as_deref().unwrap_or_default() {
            let volumes = self.volumes.as_ref();
            let Some(base) = volumes.and_then(|volumes| volumes.get(&mount.name)) else {
                return Err(format!(
                    "volume \"{}\" is not defined in the pod",
                    mount.name
                ));
            };
            let inside = mount.sub_path.as_deref().unwrap_or_default();
            if std::path::Path::new(inside).components().any(|part| {
                !matches!(
                    part,
                    std::path::Component::Normal(_) | std::path::Component::CurDir
                )
            }) {
                return Err(format!("subPath \"{inside}\" must stay inside its volume"));
            }
            if mount.sub_path_expr.is_some() {
                return Err("subPathExpr is not served; use subPath".to_owned());
            }
            let source = if inside.is_empty() {
                base.clone()
            } else {
                base.join(inside)
            };
            if !source.exists() {
                std::fs::create_dir_all(&source).map_err(|error| error.to_string())?;
            }
            mounts.push(Mount {
                source,
                target: PathBuf::from(&mount.mount_path),
                read_only: mount.read_only.unwrap_or_default(),
            });
        }
        Ok(mounts)
    }

    /// Tells why a container cannot be tried and when it will be tried again.
    fn troubled(&mut self, container: &Container, trouble: Trouble) {
        let image = container.image.as_deref().unwrap_or_default();
        let pull = trouble.reason == "ErrImagePull";
        let first = self
            .told
            .insert(format!("{}: {}", container.name, trouble.message));
        if pull {
            if first {
                self.tell(
                    &container.name,
                    "Pulling",
                    format!("Pulling image \"{image}\""),
                );
            }
            let text = format!("Failed to pull image \"{image}\": {}", trouble.message);
            self.warn(&container.name, "Failed", text);
            self.warn(&container.name, "Failed", "Error: ErrImagePull".to_owned());
        } else if first {
            self.warn(
                &container.name,
                "Failed",
                format!("Error: {}", trouble.message),
            );
        }
        let record = self.records.entry(container.name.clone()).or_default();
        let now = Timestamp::now();
        if !pull {
            record.trouble_backoff.retry_in(now, RETRY);
            record.trouble = Some(trouble);
            self.wake_in(RETRY);
            return;
        }
        record.trouble_backoff.refused(now);
        record.trouble = Some(trouble);
        self.wake_in(SHOWN);
    }

    /// Turns the report of an unknown image into the one that it waits, a moment later.
    pub(super) fn settle_pull_errors(&mut self, now: Timestamp) {
        let mut told = Vec::new();
        let mut next = None;
        for (name, record) in &mut self.records {
            let backoff = &record.trouble_backoff;
            let (Some(trouble), Some(until)) = (&mut record.trouble, backoff.until()) else {
                continue;
            };
            if trouble.reason != "ErrImagePull" {
                continue;
            }
            let settles = until - backoff.delay().unwrap_or_default() + SHOWN;
            if settles <= now {
                trouble.reason = "ImagePullBackOff";
                trouble.message = format!("Back-off pulling image: {}", trouble.message);
                told.push((name.clone(), trouble.message.clone()));
            } else {
                next = Some(settles);
            }
        }
        self.wake_until(next);
        for (name, message) in told {
            self.tell(&name, "BackOff", message);
            self.warn(&name, "Failed", "Error: ImagePullBackOff".to_owned());
        }
    }
}
