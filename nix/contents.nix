# Small contents for images: a shell, env, certificate authorities and users.
{ taken, derive }:
let
  inherit (derive) overridable shell;
  lines = builtins.concatStringsSep "";
in
{
  binSh = shell "bin-sh" { } ''
    mkdir -p $out/bin
    ln -s ${taken.inside.bashInteractive}/bin/bash $out/bin/sh
  '';

  usrBinEnv = shell "usr-bin-env" { } ''
    mkdir -p $out/usr/bin
    ln -s ${taken.inside.coreutils}/bin/env $out/usr/bin/env
  '';

  # The places where programs look: those of Debian, those of Fedora, and the one that other programs use.
  caCertificates = shell "ca-certificates" { } ''
    for place in etc/ssl/certs/ca-bundle.crt etc/ssl/certs/ca-certificates.crt etc/pki/tls/certs/ca-bundle.crt; do
      mkdir -p $out/''${place%/*}
      ln -s ${taken.inside.cacert}/etc/ssl/certs/ca-bundle.crt $out/$place
    done
  '';

  # The users root and nobody, and those that `.override` adds.
  fakeNss = overridable
    ({ extraPasswdLines ? [ ], extraGroupLines ? [ ] }:
      let
        ended = map (line: line + "\n");
      in
      shell "fake-nss"
        {
          passwd = lines (
            [ "root:x:0:0:root user:/var/empty:/bin/sh\n" ]
            ++ ended extraPasswdLines
            ++ [ "nobody:x:65534:65534:nobody:/var/empty:/bin/sh\n" ]
          );
          group = lines ([ "root:x:0:\n" ] ++ ended extraGroupLines ++ [ "nobody:x:65534:\n" ]);
          passAsFile = [ "passwd" "group" ];
        } ''
        mkdir -p $out/etc $out/var/empty
        cp "$passwdPath" $out/etc/passwd
        cp "$groupPath" $out/etc/group
        printf 'hosts: files dns\n' > $out/etc/nsswitch.conf
      '')
    { };

  # The files that useradd and groupadd need, for fakeRootCommands with enableFakechroot. Existing files are kept.
  shadowSetup = ''
    export PATH=${taken.inside.shadow}/bin:$PATH
    mkdir -p /etc/pam.d
    if [ ! -e /etc/pam.d/other ]; then
      printf '%s\n' 'account sufficient pam_unix.so' 'auth sufficient pam_rootok.so' \
        'password requisite pam_unix.so nullok yescrypt' 'session required pam_unix.so' > /etc/pam.d/other
    fi
    if [ ! -e /etc/passwd ]; then
      printf '%s\n' 'root:x:0:0::/root:${taken.inside.bash}/bin/bash' > /etc/passwd
    fi
    if [ ! -e /etc/shadow ]; then
      printf '%s\n' 'root:!x:::::::' > /etc/shadow
    fi
    if [ ! -e /etc/group ]; then
      printf '%s\n' 'root:x:0:' > /etc/group
    fi
    if [ ! -e /etc/gshadow ]; then
      printf '%s\n' 'root:x::' > /etc/gshadow
    fi
    if [ ! -e /etc/login.defs ]; then
      : > /etc/login.defs
    fi
  '';
}
