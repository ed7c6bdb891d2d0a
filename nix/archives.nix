# Functions for image files that exist already: mergeImages, exportImage and pullImage.
{ taken, derive, compressors }:
let
  inherit (derive) describe lamina overridable shell;
  inherit (compressors.zstd) program;
  fileName = builtins.replaceStrings [ "/" ":" ] [ "-" "-" ];
in
{
  # All images in one archive, with the compression of the last one.
  mergeImages = images: lamina "merge-docker-images" "merge" {
    given = { inherit program; images = map (image: "${image}") images; };
  };

  # The root file system of an image as one tar. `diskSize` is for nixpkgs' virtual machine and has no effect here.
  exportImage = overridable (
    { fromImage, fromImageName ? null, fromImageTag ? null, diskSize ? 1024, name ? fromImage.name }:
    lamina name "export" {
      given = {
        inherit program;
        image = "${fromImage}";
        imageName = if fromImageName == null || fromImageTag == null then null else "${fromImageName}:${fromImageTag}";
      };
    }
  );

  pullImage = overridable (
    { imageName
    , imageDigest
    , hash ? null
    , sha256 ? null
    , outputHash ? null
    , outputHashAlgo ? null
    , os ? "linux"
    , arch ? taken.architecture
    , finalImageName ? imageName
    , finalImageTag ? "latest"
    , tlsVerify ? true
    , name ? fileName "docker-image-${imageName}.tar"
    }:
    let
      given = builtins.filter (value: value != null) [ hash sha256 outputHash ];
      sum =
        if builtins.length given == 1 then builtins.head given
        else throw ("dockerTools.pullImage: got ${toString (builtins.length given)} of hash, sha256 and outputHash "
          + "for ${imageName}, expected one");
      sourceURL = "docker://${imageName}@${imageDigest}";
    in
    describe { } { inherit sourceURL; } (shell name
      {
        inherit sourceURL;
        destination = "${finalImageName}:${finalImageTag}";
        outputHashMode = "flat";
        outputHash = sum;
        outputHashAlgo = if outputHashAlgo == null then "sha256" else outputHashAlgo;
        SSL_CERT_FILE = "${taken.inside.cacert}/etc/ssl/certs/ca-bundle.crt";
        impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
      } ''
      export HOME=$TMPDIR
      ${taken.skopeo}/bin/skopeo --insecure-policy --tmpdir="$TMPDIR" \
        --override-os ${derive.quote os} --override-arch ${derive.quote arch} \
        copy --src-tls-verify=${if tlsVerify then "true" else "false"} "$sourceURL" "docker-archive://$out:$destination"
    '')
  );
}
