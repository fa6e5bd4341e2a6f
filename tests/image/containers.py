"""Containers of an image, on the host's network: by docker or podman, or as bare processes in what buildah has built."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

PATIENCE_SECONDS = 60


def output(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


class Exit:
    """How a command in a container ended, and what it said."""

    def __init__(self, done):
        self.code, self.text = done.returncode, done.stdout


def run(command, **how):
    how.update(text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS)
    return Exit(subprocess.run(command, check=False, **how))


class Docker:
    """docker, and podman, which has the same commands."""

    def __init__(self, client, image):
        self.client, self.image = client, image
        found = json.loads(output(client, "image", "inspect", image))[0]
        self.config, self.size = found["Config"], found["Size"]
        self.config.setdefault("Healthcheck", found.get("Healthcheck"))  # podman's place for it

    def volume(self):
        return output(self.client, "volume", "create")

    def remove_volume(self, volume):
        output(self.client, "volume", "rm", volume)

    def start(self, arguments, volume, env, files):
        options = ["--network", "host", "--read-only", "--cap-drop", "ALL", "--add-host", "upstream:127.0.0.1"]
        options += ["--volume", f"{volume}:{data_folder(self.config)}"]
        for name, value in env.items():
            options += ["--env", f"{name}={value}"]
        for inside, outside in files.items():
            options += ["--volume", f"{outside}:{inside}:ro"]
        return DockerContainer(self.client, output(self.client, "run", "--detach", *options, self.image, *arguments))


class DockerContainer:
    def __init__(self, client, name):
        self.client, self.name = client, name

    def inspect(self, what):
        return output(self.client, "inspect", "--format", what, self.name)

    def pid(self):
        return int(self.inspect("{{.State.Pid}}"))

    def log(self):
        return run([self.client, "logs", self.name]).text

    def run(self, command):
        return run([self.client, "exec", self.name, *command])

    def terminate(self):
        """Asks for an end as the engine's `stop` does, without its deadline."""
        output(self.client, "kill", "--signal", "TERM", self.name)

    def exit_code(self):
        return int(output(self.client, "wait", self.name))

    def remove(self):
        output(self.client, "rm", "--force", self.name)


class Buildah:
    """What a runtime would do with the image's settings, by chroot: this works where no container can be started."""

    def __init__(self, image):
        self.image = image
        self.config = json.loads(output("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
        name, root = self.mounted()
        self.size = sum(file.lstat().st_size for file in root.rglob("*") if not file.is_dir())
        output("buildah", "rm", name)

    def mounted(self):
        name = output("buildah", "from", "--pull-never", self.image)
        return name, pathlib.Path(output("buildah", "mount", name))

    def volume(self):
        """A folder that has, as an engine's volume at its first use, what the image has in its place."""
        name, root = self.mounted()
        volume = tempfile.mkdtemp(prefix="proxq-volume-")
        output("cp", "--archive", "--no-target-directory", f"{root}{data_folder(self.config)}", volume)
        output("buildah", "rm", name)
        return volume

    def remove_volume(self, volume):
        shutil.rmtree(volume)

    def start(self, arguments, volume, env, files):
        name, root = self.mounted()
        root.joinpath("etc/hosts").write_text("127.0.0.1 upstream\n")
        for inside, outside in files.items():
            place = root.joinpath(inside.lstrip("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(outside, place)
        output("mount", "--bind", volume, f"{root}{data_folder(self.config)}")
        return Chroot(self.config, name, root, arguments, env)


class Chroot:
    def __init__(self, config, name, root, arguments, env):
        self.config, self.name, self.root = config, name, root
        self.env = dict(line.split("=", 1) for line in config["Env"]) | env
        self.output = tempfile.NamedTemporaryFile(mode="w+")
        command = config["Entrypoint"] + arguments
        self.process = subprocess.Popen(command, stdout=self.output, stderr=self.output, **self.inside())

    def inside(self):
        user, group = (int(number) for number in self.config["User"].split(":"))

        def enter():
            os.chroot(self.root)
            os.chdir(self.config["WorkingDir"])
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)

        return {"preexec_fn": enter, "env": self.env}

    def pid(self):
        return self.process.pid

    def log(self):
        return pathlib.Path(self.output.name).read_text()

    def run(self, command):
        return run(command, **self.inside())

    def terminate(self):
        self.process.send_signal(getattr(signal, self.config.get("StopSignal") or "SIGTERM"))

    def exit_code(self):
        return self.process.wait(PATIENCE_SECONDS)

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        output("umount", f"{self.root}{data_folder(self.config)}")
        output("buildah", "rm", self.name)


def data_folder(config):
    (folder,) = config["Volumes"]
    return folder
