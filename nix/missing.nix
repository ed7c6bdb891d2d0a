# Functions of nixpkgs that lamina does not have. Each is an error that says what to use instead.
let
  instead = name: _: throw ''
    lamina has no dockerTools.${name}, which copies what it is given into one layer with the help of a virtual machine.
    Use dockerTools.buildLayeredImage (a file) or dockerTools.streamLayeredImage (a script that writes it):
      contents = [ … ];              for copyToRoot
      extraCommands = "…";           as it is: paths relative to the root
      fakeRootCommands = "…";        for runAsRoot: chown and the like, in a fakeroot session
      enableFakechroot = true;       so that fakeRootCommands see the image's root as /
      includeNixDB = true;           for buildImageWithNixDb
  '';
in
{
  buildImage = instead "buildImage";
  buildImageWithNixDb = instead "buildImage";
}
