"""What `deploy/` puts into a cluster, as the real API server enforces it: Pod Security, the Role, the policies.

Applied as the files are, with kubectl, once; so all that happens here happens in the namespaces that they name.
"""

import asyncio
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import role
import staff
import yaml
from backends import ROLLOUT_ROLE, OnRollout
from foreign import IMAGE_ONLY, OF_A_DEPLOYMENT, OF_A_ROLLOUT, OF_A_SERVICE, OF_ITS_STATUS, OF_ITS_WORKLOAD
from installed import MERGE, STRATEGIC, Mochi, names
from rollout import Rollout
from staff import PATIENCE
from targets import Real
from team import APPROVE, Team

import mochi
from bot.clusters.api import SERVICE, KubeApi
from bot.clusters.errors import Forbidden
from bot.release.record import Phase
from bot.release.verbs import Verb
from control_plane import ControlPlane
from places import BIN_DIR
from watching import until
from world import KIM, REPOSITORY, SAM, TAGS, digest, example

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMESPACE, ACCOUNT = "greenlight", "greenlight"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
DRY_RUN = {"dryRun": "All"}
"""Everything is asked and nothing is stored: admission refuses it all the same."""
JSON_PATCH = "application/json-patch+json"
SELECT, SCALE = {"spec": {"selector": {"x": "y"}}}, {"spec": {"replicas": 5}}
"""What Greenlight may do to its Services and its Deployments."""


class Deployed(Real):
    """The example's namespace, in which Greenlight has the rights that are shipped, under the policies that are."""

    def __init__(self, plane: ControlPlane, maker: Any, namespace: str = role.SHIPPED_FOR) -> None:
        super().__init__(namespace, plane, maker)
        self.user = USER

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Deployed"]:
        async with session(self.plane) as self.session:
            yield self
        self._maker.check()

    async def kubeconfig(self, rules: list[Json]) -> Json:
        return self.plane.kubeconfig(self.plane.token_for(NAMESPACE, ACCOUNT))


def session(plane: ControlPlane, token: str = "", **headers: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=plane.ssl_context)
    headers = {"Authorization": f"Bearer {token or plane.admin_token}"} | headers
    return aiohttp.ClientSession(plane.url, headers=headers, connector=connector)


@pytest.fixture(scope="session")
def kubectl(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """As the administrator; answers with what it prints."""
    folder = tmp_path_factory.mktemp("kubectl")
    (folder / "kubeconfig").write_text(json.dumps(plane.kubeconfig(plane.admin_token)))
    flags = f"--kubeconfig={folder / 'kubeconfig'}", f"--cache-dir={folder / 'cache'}"

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [BIN_DIR / "kubectl", *flags, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")  # a warning is said there
        return done.stdout

    return run


@pytest.fixture(scope="module")
def applied(kubectl) -> Iterator[str]:
    """What kubectl says to the commands of the documentation. The policies are about the whole cluster, and so about
    others who act as this ServiceAccount: they go with these tests.
    """
    said = kubectl("apply", "-f", DEPLOY)
    kubectl("create", "namespace", role.SHIPPED_FOR)
    yield said + kubectl("apply", "-f", DEPLOY / "examples" / "role.yaml", "-f", DEPLOY / "examples" / "mochi")
    kubectl("delete", "-f", DEPLOY / "5-admission.yaml")


@pytest.fixture
async def deployed(plane, maker, applied) -> AsyncIterator[Deployed]:
    async with Deployed(plane, maker).running() as made:
        yield made


@pytest.fixture
def installed(deployed: Deployed) -> Mochi:
    return Mochi(deployed)


@pytest.fixture
async def greenlight(plane, installed) -> AsyncIterator[aiohttp.ClientSession]:
    """With the token of its ServiceAccount, once the API server has heard of Role and policies."""
    async with session(plane, plane.token_for(NAMESPACE, ACCOUNT)) as made:
        services, slots = f"{installed.services}/{mochi.ACTIVE}", f"{installed.deployments}/{mochi.LIVE}"
        async with asyncio.timeout(PATIENCE):
            for path, patch in ((services, SELECT), (slots, SCALE)):
                while (await patched(made, path, patch))[0] != HTTPStatus.OK:
                    pass
            for path, patch in ((services, {"spec": {"type": "NodePort"}}), (slots, {"spec": {"paused": True}})):
                while (await patched(made, path, patch))[0] != HTTPStatus.FORBIDDEN:
                    pass
        yield made


@pytest.fixture
async def widened(plane, greenlight) -> AsyncIterator[aiohttp.ClientSession]:
    """Greenlight in a cluster in which somebody has allowed it everything."""
    headers = {"Impersonate-User": USER, "Impersonate-Group": "system:masters"}
    async with session(plane, **headers) as made:
        yield made


async def patched(api: aiohttp.ClientSession, path: str, patch: Any, content_type: str = STRATEGIC) -> tuple[int, str]:
    """Status and message of the answer to a patch that is not kept."""
    headers = {"Content-Type": content_type}
    async with api.patch(path, data=json.dumps(patch), headers=headers, params=DRY_RUN) as answer:
        body = await answer.json()
        return answer.status, body.get("message", "")


def deployment() -> Json:
    objects = yaml.safe_load_all((DEPLOY / "3-greenlight.yaml").read_text("utf-8"))
    [found] = [item for item in objects if item["kind"] == "Deployment"]
    return found


# Greenlight itself


def test_one_command_installs_it(applied):
    """Without a warning: the namespace warns of pods that it would not let in."""
    kinds = {line.partition("/")[0].partition(".")[0] for line in applied.splitlines()}
    assert {"namespace", "configmap", "serviceaccount", "persistentvolumeclaim", "deployment", "networkpolicy"} < kinds
    assert {line.split()[-1] for line in applied.splitlines()} == {"created"}


async def test_its_pod_is_let_in_under_restricted_pod_security(deployed):
    """The API server makes the pod of the Deployment, and it comes to life."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    [found] = await until(deployed.session, path, lambda items: items[0]["status"].get("availableReplicas") == 1)
    assert found["metadata"]["name"] == "greenlight"


async def test_the_pod_for_copying_the_database_is_let_in_too(deployed):
    pod = yaml.safe_load((DEPLOY / "examples" / "volume.yaml").read_text("utf-8"))
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    async with deployed.session.post(path, json=pod, params=DRY_RUN) as answer:
        assert answer.status == HTTPStatus.CREATED, await answer.text()


def _root(pod: Json) -> None:
    pod["securityContext"].update(runAsUser=0, runAsNonRoot=False)


def _any_call_to_the_kernel(pod: Json) -> None:
    del pod["securityContext"]["seccompProfile"]


def _more_rights_later(pod: Json) -> None:
    del pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


def _capabilities(pod: Json) -> None:
    del pod["containers"][0]["securityContext"]["capabilities"]


def _files_of_the_node(pod: Json) -> None:
    pod["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


@pytest.mark.parametrize(
    "worsen", [_root, _any_call_to_the_kernel, _more_rights_later, _capabilities, _files_of_the_node]
)
async def test_a_pod_with_more_than_it_needs_is_not_let_in(deployed, worsen):
    """Each line of its security context is there for a reason."""
    template = deployment()["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": template["spec"]}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    async with deployed.session.post(path, json=pod, params=DRY_RUN) as answer:
        assert answer.status == HTTPStatus.CREATED, await answer.text()
    worsen(pod["spec"])
    async with deployed.session.post(path, json=pod, params=DRY_RUN) as answer:
        assert answer.status == HTTPStatus.FORBIDDEN
        assert 'violates PodSecurity "restricted' in (await answer.json())["message"]


def test_kustomize_takes_the_files_and_replaces_the_pod_with_the_configuration(kubectl, tmp_path):
    """As the README beside them says."""
    files = [file for file in sorted(DEPLOY.glob("*.yaml")) if not file.name.startswith("2-")]
    for file in files:
        shutil.copy(file, tmp_path)
    (tmp_path / "greenlight.toml").write_text("guild = 1\n")
    configuration = {"name": "greenlight", "namespace": NAMESPACE, "files": ["greenlight.toml"]}
    kustomization = {"resources": [file.name for file in files], "configMapGenerator": [configuration]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    objects = [*yaml.safe_load_all(kubectl("kustomize", tmp_path))]
    [found] = [item for item in objects if item["kind"] == "ConfigMap"]
    [pod] = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
    assert [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each] == [found["metadata"]["name"]]
    assert found["metadata"]["name"].startswith("greenlight-")


# What its ServiceAccount may change


def _each(changes: dict[str, tuple[Json, str]]) -> list[Any]:
    return [pytest.param(*change, id=what.replace(" ", "-")) for what, change in changes.items()]


@pytest.mark.parametrize(("patch", "sentence"), _each(OF_A_SERVICE))
async def test_s16_of_a_service_it_changes_the_selector_and_its_own_annotations_alone(
    greenlight, deployed, installed, patch, sentence
):
    """Its Role would allow it; and it is allowed to whoever else may patch Services."""
    path = f"{installed.services}/{mochi.ACTIVE}"
    status, message = await patched(greenlight, path, patch, MERGE)
    assert (status, message.partition(" with binding")[0]) == (
        HTTPStatus.FORBIDDEN,
        f"services \"{mochi.ACTIVE}\" is forbidden: ValidatingAdmissionPolicy 'greenlight-services'",
    )
    assert sentence in message
    assert (await patched(deployed.session, path, patch, MERGE))[0] == HTTPStatus.OK


@pytest.mark.parametrize(("patch", "sentence"), _each(OF_A_DEPLOYMENT))
async def test_s16_of_a_slot_it_changes_images_replicas_and_the_release_label_alone(
    greenlight, deployed, installed, patch, sentence
):
    path = f"{installed.deployments}/{mochi.LIVE}"
    status, message = await patched(greenlight, path, patch)
    assert (status, message.partition(" with binding")[0]) == (
        HTTPStatus.FORBIDDEN,
        f"deployments.apps \"{mochi.LIVE}\" is forbidden: ValidatingAdmissionPolicy 'greenlight-deployments'",
    )
    assert sentence in message
    assert (await patched(deployed.session, path, patch))[0] == HTTPStatus.OK


@pytest.fixture
async def with_a_proxy(installed) -> AsyncIterator[str]:
    """The path of the idle slot, which has a second container meanwhile."""
    path = f"{installed.deployments}/{mochi.IDLE}"

    async def change(proxy: Json) -> None:
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "proxy", **proxy}]}}}}
        await installed.patch(path, patch, content_type=STRATEGIC)

    await change({"image": "registry.example.com/proxy:1"})
    yield path
    await change({"$patch": "delete"})


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/spec/template/spec/containers/1"},
        {"op": "move", "from": "/spec/template/spec/containers/1", "path": "/spec/template/spec/containers/0"},
    ],
    ids=["left-out", "moved"],
)
async def test_s16_of_several_containers_none_may_be_left_out_or_moved(greenlight, deployed, with_a_proxy, operation):
    status, message = await patched(greenlight, with_a_proxy, [operation], JSON_PATCH)
    assert status == HTTPStatus.FORBIDDEN
    assert IMAGE_ONLY in message
    assert (await patched(deployed.session, with_a_proxy, [operation], JSON_PATCH))[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    ("make", "path", "patch", "sentence"),
    [
        ("service clusterip other --tcp=80", "/api/v1/{}/services/other", SELECT, "Service {}: add it to the services"),
        ("deployment other --image=o", "/apis/apps/v1/{}/deployments/other", SCALE, "Deployment {}: add it to the dep"),
    ],
    ids=["service", "deployment"],
)
async def test_s16_a_role_that_became_too_wide_opens_no_other_object(
    widened, deployed, kubectl, make, path, patch, sentence
):
    kubectl("create", *make.split(), f"--namespace={deployed.namespace}")
    path, called = path.format(f"namespaces/{deployed.namespace}"), f"{deployed.namespace}/other"
    status, message = await patched(widened, path, patch)
    assert status == HTTPStatus.FORBIDDEN
    assert f"denied request: Greenlight may not change {sentence.format(called)}" in message
    assert (await patched(deployed.session, path, patch))[0] == HTTPStatus.OK


@pytest.mark.parametrize("kind", ["services", "deployments"])
async def test_s16_a_role_that_became_too_wide_lets_it_make_and_delete_nothing(widened, deployed, installed, kind):
    path, name = {
        "services": (installed.services, mochi.PREVIEW),
        "deployments": (installed.deployments, mochi.IDLE),
    }[kind]
    another = await installed.get(f"{path}/{name}")
    another["metadata"] = {"name": "another"}
    another["spec"] = {key: value for key, value in another["spec"].items() if not key.startswith("clusterIP")}
    requests = ("POST", path, another), ("DELETE", f"{path}/{name}", None)
    for method, where, body in requests:
        async with widened.request(method, where, json=body, params=DRY_RUN) as answer:
            assert answer.status == HTTPStatus.FORBIDDEN
            assert f"denied request: Greenlight changes {kind.title()}, it neither makes nor" in await answer.text()
        async with deployed.session.request(method, where, json=body, params=DRY_RUN) as answer:
            assert answer.ok, await answer.text()


async def test_s16_a_role_that_became_too_wide_opens_no_way_round(widened, deployed, installed):
    """A subresource has other fields, and would change the object all the same."""
    path = f"{installed.deployments}/{mochi.LIVE}/scale"
    assert (await patched(widened, path, SCALE, MERGE))[0] == HTTPStatus.FORBIDDEN
    assert (await patched(deployed.session, path, SCALE, MERGE))[0] == HTTPStatus.OK


@pytest.mark.parametrize("target", ["real"], indirect=True)
async def test_what_the_policy_does_not_name_is_told_with_its_name(greenlight, deployed, target, installed, tmp_path):
    """An app that was given its Role and was not added to the policy: no right is missing, and so none is named."""
    await target.apply(mochi.mochi(target.namespace, live_image="registry.example.com/mochi:blue"))
    rights = role.manifests(target.namespace, role.rules())
    [binding] = [item for item in rights if item["kind"] == "RoleBinding"]
    binding["subjects"] = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]
    await target.apply(rights)
    (tmp_path / "kubeconfig").write_text(json.dumps(await deployed.kubeconfig(role.rules())))
    api = await KubeApi.connect(kubeconfig=str(tmp_path / "kubeconfig"))
    patch = ({"op": "add", "path": "/spec/selector/x", "value": "y"},)
    said = ""
    try:
        async with asyncio.timeout(PATIENCE):
            while "denied request" not in said:  # the API server hears of the new Role a moment later
                with pytest.raises(Forbidden) as refusal:
                    await api.patch(SERVICE, target.namespace, mochi.ACTIVE, patch)
                said = str(refusal.value)
    finally:
        await api.close()
    assert said.endswith(f"Service {target.namespace}/{mochi.ACTIVE}: add it to the services in this policy.")
    assert "Role" not in said


async def test_s15_the_main_job_is_done_with_what_is_shipped(greenlight, deployed, installed, tmp_path):
    """From `/deploy image:green` to live and back, as its ServiceAccount, on the example as it is applied."""
    blue = await installed.serving(3)
    async with Team(deployed, tmp_path).at_work() as team:
        await team.start_bot()
        ann, kim, leo, sam = (team.person(name) for name in ("ann", "kim", "leo", "sam"))
        await ann.slash(team.channel, "deploy", image="green")
        waiting = await team.ballot("mochi #1 (green)", "QC", "Lead")
        for person in (kim, leo):
            await person.react(waiting, APPROVE)
        live = await team.card("🟢", "mochi #1 (green) is live")
        assert await installed.serving(3) == names(await installed.pods_of("green"))
        await sam.submit_modal(await sam.click(live, "Roll back"), reason="wrong prices")
        await team.card("🟠", "mochi #1 (green) was rolled back by @sam")
        assert await installed.serving(3) == blue
        await team.bot.stop()
        assert await team.bot.ended() == 0
    assert deployed.asked() <= role.granted(role.rules())
    service = await installed.service()
    foreign = itertools.filterfalse(lambda key: key.startswith("greenlight.dev/"), service["metadata"]["annotations"])
    assert [*foreign] == ["kubectl.kubernetes.io/last-applied-configuration"]


# On Argo Rollouts


ON_ARGO = "mochi-argo"
COMMENTED = """  # - apiGroups: [apps]
  #   resources: [deployments]
  #   resourceNames: [mochiapp]
  #   verbs: [get, patch]
"""
WORKLOADS = """- name: workloads # those that hold the pod template of a Rollout (workloadRef)
      expression: "[]\""""


@pytest.fixture(scope="module")
def applied_for_rollouts(kubectl, applied, rollouts_controller, tmp_path_factory) -> None:
    """As the example has it, and with what its comments say of a pod template in a Deployment."""
    rights, policies = ROLLOUT_ROLE.read_text("utf-8"), (DEPLOY / "5-admission.yaml").read_text("utf-8")
    assert COMMENTED in rights
    assert WORKLOADS in policies
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "role.yaml").write_text(rights.replace(COMMENTED, COMMENTED.replace("  # ", "  ")))
    named = WORKLOADS.replace("[]", f"['{ON_ARGO}/mochiapp']")
    (folder / "5-admission.yaml").write_text(policies.replace(WORKLOADS, named))
    kubectl("create", "namespace", ON_ARGO)
    kubectl("apply", "-f", folder)


@pytest.fixture(params=[OnRollout(), OnRollout(in_deployment=True)], ids=lambda each: each.name)
async def on_rollout(request, plane, maker, applied_for_rollouts) -> AsyncIterator[OnRollout]:
    """With mochi there, blue and live."""
    backend = request.param
    async with Deployed(plane, maker, ON_ARGO).running() as target:
        target.knows({digest(tag): tag for tag in TAGS})
        await target.apply(backend.manifests(ON_ARGO, f"{REPOSITORY}:blue"))
        made = Mochi(target)
        await made.serving(2)
        yield backend
        for path in (f"/apis/argoproj.io/v1alpha1/namespaces/{ON_ARGO}/rollouts", made.deployments, made.services):
            async with target.session.delete(path, raise_for_status=True):
                pass
        await until(target.session, made.pods, lambda pods: not pods, within=30)


@pytest.fixture
async def rollout(plane, maker, on_rollout) -> AsyncIterator[Rollout]:
    async with Deployed(plane, maker, ON_ARGO).running() as target:
        yield Rollout(Mochi(target))


async def forbidden(plane: ControlPlane, path: str, patch: Json) -> str:
    """Why Greenlight may not do this, once the API server has heard of Role and policies."""
    async with session(plane, plane.token_for(NAMESPACE, ACCOUNT)) as greenlight, asyncio.timeout(PATIENCE):
        while True:
            status, message = await patched(greenlight, path, patch, MERGE)
            if status == HTTPStatus.FORBIDDEN and "denied request" in message:
                return message


@pytest.mark.parametrize(("patch", "sentence"), _each(OF_A_ROLLOUT))
async def test_s16_of_a_rollout_it_changes_the_pod_template_and_its_own_annotations_alone(
    plane, rollout, patch, sentence
):
    assert sentence in await forbidden(plane, rollout.path, patch)


@pytest.mark.parametrize(("patch", "sentence"), _each(OF_ITS_STATUS))
async def test_s16_of_the_status_of_a_rollout_it_changes_nothing_but_the_pause(plane, rollout, patch, sentence):
    """What Argo Rollouts takes for an order stands there too."""
    assert sentence in await forbidden(plane, f"{rollout.path}/status", patch)


@pytest.mark.parametrize("on_rollout", [OnRollout(in_deployment=True)], indirect=True)
@pytest.mark.parametrize(("patch", "sentence"), _each(OF_ITS_WORKLOAD))
async def test_s16_of_the_deployment_of_a_rollout_it_changes_the_pod_template_alone(plane, rollout, patch, sentence):
    path = f"/apis/apps/v1/namespaces/{ON_ARGO}/deployments/mochiapp"
    assert sentence in await forbidden(plane, path, patch)


async def test_s15_a_release_on_a_rollout_is_done_with_what_is_shipped(
    on_rollout, rollout, deployed, empty_memory, tmp_path
):
    """Live, back by the Service, rejected: every write that there is."""
    memory, kubeconfig = tmp_path / "greenlight.db", tmp_path / "kubeconfig"
    shutil.copy(empty_memory, memory)
    kubeconfig.write_text(json.dumps(await deployed.kubeconfig([])))
    app = replace(on_rollout.policy(example()), namespace=ON_ARGO)
    async with staff.greenlight(app, kubeconfig, memory) as bot:
        await bot.release("green")
        await bot.ask(Verb.ROLL_BACK, SAM)
        await bot.reaches(Phase.REVERTED)
        bot.clock.skip(minutes=1)
        await bot.deploy("purple")
        await bot.reaches(Phase.READY)
        await bot.ask(Verb.REJECT, KIM)
        await bot.reaches(Phase.REVERTED)
        assert {kind for kind, _, _ in bot.door.sent} >= {"Service", "Rollout/status"}
