"""Make gen/ from the contracts in proto/: messages, gRPC stubs and their types.

Run by `make proto` and by the wheel's build. Nothing is downloaded: google/api comes with
googleapis-common-protos, buf/validate/validate.proto from protovalidate's own descriptor.
"""

import argparse
import filecmp
import os
import sys
import tempfile
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from protobuf import DescFile
from protovalidate._gen.buf.validate import validate_pb

CONTRACTS = Path(__file__).resolve().parent
VALIDATE = "buf/validate/validate.proto"
DESCRIPTORS = "denda/contracts.binpb"


def generate(target: Path, contracts: Path = CONTRACTS) -> None:
    """Bring `target` up to date; files that have not changed are left alone, so that nothing is rebuilt for them."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "gen"
        made.mkdir()
        outputs = [f"--{kind}_out={made}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
        # With the comments, which the generated modules lack; the gateway's reference is made of them.
        (made / DESCRIPTORS).parent.mkdir()
        outputs += [f"--descriptor_set_out={made / DESCRIPTORS}", "--include_source_info"]
        outputs += ["--mypy_opt=quiet", "--mypy_grpc_opt=quiet,only_sync"]
        _protoc(contracts, Path(folder), *outputs, *sources(contracts), VALIDATE)
        # Packages rather than bare folders, so that the chassis can walk over all contracts.
        for module in made.rglob("*_pb2.py"):
            for package in module.relative_to(made).parents[:-1]:
                (made / package / "__init__.py").write_text('"""Generated from proto/ by proto/generate.py."""\n')
        _mirror(made, target)


def write_image(image: Path, contracts: Path = CONTRACTS) -> None:
    """Write the contracts and all they import as one descriptor set with comments, which is what buf reads."""
    image.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--descriptor_set_out={image}", "--include_imports", "--include_source_info"]
        _protoc(contracts, Path(folder), *flags, *sources(contracts))


def sources(contracts: Path) -> list[str]:
    """The proto files of `contracts`, as protoc and imports name them."""
    return sorted(path.relative_to(contracts).as_posix() for path in contracts.rglob("*.proto"))


def _protoc(contracts: Path, scratch: Path, *arguments: str) -> None:
    """Call protoc. Exits with its status when it fails; it has printed why."""
    # A descriptor set is searched for every import that no folder holds, so the plain protos go by folder.
    known = scratch / "validate.binpb"
    known.write_bytes(_validate_descriptors())
    folders = [contracts, Path(annotations_pb2.__file__).parents[2], Path(protoc.__file__).parent / "_proto"]
    # The plugins that write the types are scripts beside the interpreter, which need not be on the PATH.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    paths = [f"--proto_path={folder}" for folder in folders]
    status = protoc.main(["protoc", *paths, f"--descriptor_set_in={known}", *arguments])
    if status:
        raise SystemExit(status)


def _validate_descriptors() -> bytes:
    """buf/validate/validate.proto and what it imports, as a serialised FileDescriptorSet."""
    found: dict[str, bytes] = {}

    def visit(file: DescFile) -> None:
        if file.name not in found:
            for dependency in file.dependencies:
                visit(dependency)
            found[file.name] = file.proto.to_binary()

    visit(validate_pb.desc())
    parsed = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in found.values()]
    return descriptor_pb2.FileDescriptorSet(file=parsed).SerializeToString()


def _mirror(made: Path, target: Path) -> None:
    """Make `target` hold exactly the files of `made`; each is replaced in one step, since others may be reading."""
    fresh = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    for name in fresh:
        old = target / name
        if not (old.exists() and filecmp.cmp(made / name, old, shallow=False)):
            old.parent.mkdir(parents=True, exist_ok=True)
            beside = old.with_name(old.name + ".new")
            beside.write_bytes((made / name).read_bytes())
            beside.replace(old)
    for path in target.rglob("*_pb2*.py*"):
        if path.relative_to(target) not in fresh and "__pycache__" not in path.parts:
            path.unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="folder of the proto files")
    parser.add_argument("--image", type=Path, help="write a descriptor set for buf here instead of gen/")
    options = parser.parse_args()
    if options.image:
        write_image(options.image, options.contracts)
    else:
        generate(CONTRACTS.parent / "gen", options.contracts)
