# The bot alone, without sandbox and tests. Runs as an ordinary user on a read-only root file system; what it remembers
# is in /data.
#
#   docker build -t greenlight .
#   docker run --read-only -v greenlight:/data -v ./greenlight.toml:/etc/greenlight/greenlight.toml:ro \
#     -e DISCORD_TOKEN -v ~/.kube/config:/etc/greenlight/kubeconfig:ro -e KUBECONFIG=/etc/greenlight/kubeconfig greenlight

FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /greenlight
# The dependencies change less often than the code: a layer of their own.
COPY pyproject.toml constraints.txt ./
RUN /greenlight/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > dependencies.txt \
    && /greenlight/bin/pip install --no-cache-dir -c constraints.txt -r dependencies.txt
COPY . .
RUN /greenlight/bin/pip install --no-cache-dir --no-deps . \
    && /greenlight/bin/pip check

FROM python:3.13-slim
COPY --from=build /greenlight /greenlight
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
RUN install -d -o 65532 -g 65532 /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENV PATH=/greenlight/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    GREENLIGHT_CONFIG=/etc/greenlight/greenlight.toml \
    GREENLIGHT_HEALTH=0.0.0.0:8080 \
    DATABASE_URL=sqlite+aiosqlite:////data/greenlight.db \
    LOG_FORMAT=json
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=2 CMD ["greenlight", "healthcheck"]
ENTRYPOINT ["greenlight"]
CMD ["run"]
