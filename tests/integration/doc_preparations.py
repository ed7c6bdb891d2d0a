"""What the text of a page takes for granted, and a reader has: `tests/integration/doc_sessions.py` runs it.

The commands are written with the names of the pages, which are substituted as in the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

_EXAMPLE = """\
hello=/nix/store/kq93jhbiwd2m2dh4ph5b3py22v94505r-hello-1.0
cache=file://$PWD/examples/cache
key=$(cat examples/public-key)
"""
_SERVICES = """\
cat >services.toml <<'END'
[web]
contents = ["/nix/store/…-hello-2.12.1"]
store = ["https://cache.example"]
trustedKeys = ["cache.example-1:…"]
config.Cmd = ["/bin/hello"]

[worker]
contents = ["/nix/store/…-hello-2.12.1"]
store = ["https://cache.example"]
trustedKeys = ["cache.example-1:…"]
config.Env = ["HELLO_LANGUAGE=fr"]
END
"""
_ARM64 = "/nix/store/s7gbbklzc06h3fyi5krg9prslws5zvjj-hello-1.0"
_RESULT = "ln -s /nix/store/…-hello-2.12.1 result\n"
# A store of Nix that has the example.
_NIX_STORE = """\
XDG_DATA_HOME=$TMPDIR/data lamina store export /nix/store/…-hello-2.12.1 \\
  --store https://cache.example --trusted-key cache.example-1:… | nix-store --import
"""

BEFORE_PAGES: Mapping[str, str] = {
    "docs/batch.md": _SERVICES,
    "docs/cluster.md": _SERVICES,
    "docs/embedded-store.md": f"""\
{_EXAMPLE}{_RESULT}{_NIX_STORE}
mkdir site
echo '<h1>Hello</h1>' >site/index.html
# The server is this machine.
ssh() {{ shift; "$@"; }}
""",
    "docs/engines.md": _RESULT,
    "docs/image.md": """\
python - <<'END'
# The closure of a benchmark as a graph.
import hashlib, json
rows = json.load(open("examples/../bench/closures/database.json"))["paths"]
hashes = [hashlib.sha256(name.encode()).hexdigest().replace("e", "g") for name, *_ in rows]
paths = [f"/nix/store/{digest[:32]}-{name}" for digest, (name, *_) in zip(hashes, rows)]
graph = [
    {"path": path, "narSize": size, "narHash": "sha256:" + "0" * 52, "references": [paths[one] for one in numbers]}
    for path, (_, size, numbers) in zip(paths, rows)
]
json.dump(graph, open("graph.json", "w"))
END
git init --quiet .
git -c user.name=me -c user.email=me@example.org commit --quiet --allow-empty --message first
for tag in latest v0.9 v1.0 v1.1; do lamina build hello -t app:$tag --label tag=$tag -o images/ --quiet; done
""",
    "docs/json.md": "lamina build hello -o hello.tar\n",
    "docs/layering-cost.md": """\
lamina push hello --to registry.example/hello:1.4
lamina build hello -o hello-1.4.tar
""",
    "docs/platforms.md": f"""\
echo {_ARM64} >>$CHANNEL
lamina build /nix/store/…-hello-2.12.1 -t images:1 -o images/
""",
    "docs/registries.md": f"""\
{_RESULT}
lamina merge app-amd64.tar app-arm64.tar --to ghcr.io/me/app:1.4
lamina push debian.tar --to ghcr.io/me/base:1
""",
    "docs/sbom.md": "lamina build hello -o app.tar.gz\n",
    "docs/serving.md": """\
htpasswd() { command htpasswd -b "$@" "$GITHUB_TOKEN"; }
""",
    "docs/stores.md": _NIX_STORE,
    "docs/verify.md": """\
lamina push hello --to ghcr.io/me/app:1 --cmd /bin/hello
lamina build hello -o app.tar
image=ghcr.io/me/app:1
cache=https://cache.example
key=cache.example-1:…
""",
}

BEFORE_COMMANDS: Mapping[tuple[str, str], str] = {
    ("docs/embedded-store.md", "lamina store verify"): """\
damaged=$(grep -l phrases ~/.local/share/lamina/store/*.narinfo | xargs grep -l 'StorePath.*phrases')
damaged=~/.local/share/lamina/store/$(sed -n 's/^URL: //p' $damaged)
chmod u+w $damaged
printf x | dd of=$damaged bs=1 seek=300 conv=notrunc
""",
    ("docs/embedded-store.md", "lamina store gc hello ./lamina.toml hello.tar.gz --dry-run"): """\
printf '[hello]\\ncontents = ["hello"]\\n' >lamina.toml
lamina build hello -o hello.tar.gz
""",
    ("docs/image.md", "lamina diff images/#app:1 images/#app:2"): """\
rm -rf images
add() { mkdir "$2"; seq "$3" "$4" >"$2/data"; lamina store add "$2" --name "$1"; }
zlib=$(add zlib-1.3.1 zlib 1 18000)
make() {
  app=$(add "my-app-$2" "app-$1" "$1" 280000)
  bash=$(add bash-5.2p37 "bash-$1" "$1" 140000)
  lamina build $app hello --closure $bash --closure $zlib --layer "bash-*,zlib-*" -t app:$1 -o images/
}
make 1 1.4
make 2 1.5
""",
    ("docs/layer-cache.md", "lamina store verify"): """\
damaged=$(find "$MACHINE" -type f -path '*-phrases-1.0/*' | sort | head -n 1)
touch --reference="$damaged" before
chmod u+w "$damaged"
printf x | dd of="$damaged" bs=1 conv=notrunc
touch --reference=before "$damaged"
""",
    ("docs/registries.md", "lamina lock"): """\
printf '[hello]\\ncontents = ["hello"]\\nfromImage = "debian:12"\\n' >lamina.toml
lamina lock
lamina push "app-arm64.tar" --to debian:12
""",
    ("docs/serving.md", "lamina serve --platform linux/amd64 --platform linux/arm64"): f"echo {_ARM64} >>$CHANNEL\n",
    ("docs/serving.md", "curl"): """\
lamina serve --listen 0.0.0.0:443 --auth-file users --tls-cert cert.pem --tls-key key.pem
""",
}
"""The same before the block, or the command of a console, that begins so."""

OF_ALL_SYSTEMS = frozenset({"docs/platforms.md"})
"""Pages for a machine that has the example for both architectures."""

EXIT_CODES: Mapping[tuple[str, str], int] = {
    ("docs/embedded-store.md", "lamina store verify\n"): 6,
    ("docs/layer-cache.md", "lamina store verify\n"): 6,
}
"""The exit code of a command in a console that fails on purpose; of all others it is 0."""

ON_TERMINAL = frozenset({("docs/embedded-store.md", "lamina store ls\n")})
"""Commands in consoles that print something else for a terminal, and the page shows that."""
