# The systems for which the flake has the command.
[ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]
