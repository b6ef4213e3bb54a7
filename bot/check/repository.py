"""Whether an image repository lets Greenlight in, and tells what it needs to know: tags, and which digest one means."""

from collections.abc import Mapping
from dataclasses import replace

from bot.check.finding import Finding, fail, ok, warn
from bot.registry import ImageNotFound, Login, Registry, RegistryError
from bot.release.image import parse

LOGINS = "Logins are those of the docker config.json in DOCKER_CONFIG."


async def repository(part: str, registry: Registry, called: str, logins: Mapping[str, Login]) -> list[Finding]:
    image = parse(called)
    login = logins.get(image.registry)
    who = f"as {login.user}" if login else "without a login"
    try:
        tags = await registry.tags(image)
    except ImageNotFound as why:
        fix = f"Push an image there, or set `image` of the app to where its images are. {LOGINS}"
        return [fail(part, "registry", str(why), fix)]
    except RegistryError as why:
        fix = f"It was asked {who}: see whether that is right, and whether it can be reached from here. {LOGINS}"
        return [fail(part, "registry", str(why), fix)]
    if not tags:
        return [warn(part, "registry", f"{called} has no tags yet.", "Push an image: there is nothing to deploy.")]
    try:
        resolved = await registry.resolve(replace(image, tag=tags[0]))
        await registry.resolve(image.at(resolved.digest))
    except (ImageNotFound, RegistryError) as why:
        sentence = f"{called}:{tags[0]} cannot be had by its digest: {why}"
        return [
            fail(part, "registry", sentence, "Releases are bound to a digest: whoever runs that registry must look.")
        ]
    return [ok(part, "registry", f"{called} has {len(tags)} tags, the newest known is {tags[0]}; asked {who}.")]
