# What a builder sees of exportReferencesGraph under __structuredAttrs: the closure of ROOT, as JSON.
{ root }:
derivation {
  name = "graph";
  system = builtins.currentSystem;
  builder = "/bin/bash";
  PATH = "/usr/bin:/bin";
  __structuredAttrs = true;
  exportReferencesGraph.graph = [ (builtins.storePath root) ];
  # The shell itself has to be the last to end: Nix kills a builder whose output is closed.
  args = [ "-e" "-u" "-c" ". ./.attrs.sh; cp .attrs.json \${outputs[out]}; exit" ];
}
