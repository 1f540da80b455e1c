"""Files of torch.save, written opcode by opcode: what a pickle may hold, without PyTorch."""

import pickle
import struct
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def op_str(text):
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def op_int(value):
    return b"J" + struct.pack("<i", value)


def op_tuple(*items):
    return b"(" + b"".join(items) + b"t"


def op_global(module, name):
    return f"c{module}\n{name}\n".encode()


def op_tensor(key, size, offset, shape, strides, storage="FloatStorage", legacy=True):
    """Opcodes of one tensor; the trailing None is the view metadata that only legacy files have."""
    pid = (op_str("storage"), op_global("torch", storage), op_str(key), op_str("cpu"), op_int(size))
    arguments = (
        op_tuple(*pid, *([b"N"] if legacy else [])) + b"Q",
        op_int(offset),
        op_tuple(*map(op_int, shape)),
        op_tuple(*map(op_int, strides)),
        b"\x89",
        op_global("collections", "OrderedDict") + b")R",
    )
    return op_global("torch._utils", "_rebuild_tensor_v2") + op_tuple(*arguments) + b"R"


def op_dict(**entries):
    return b"\x80\x02}(" + b"".join(op_str(name) + value for name, value in entries.items()) + b"u."


def legacy_file(path, pickled, storages):
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, system))
    tail = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    path.write_bytes(head + pickled + pickle.dumps(list(storages), 2) + tail)
    return path


def zip_file(path, pickled, storages, **extra):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickled)
        for key, array in storages.items():
            archive.writestr(f"model/data/{key}", array.tobytes())
        for name, text in extra.items():
            archive.writestr(f"model/{name}", text)
    return path


VALUES = np.arange(12, dtype=np.float32)


def op_number(code=b"f8", order="<", raw=bytes(6) + b"\x04\x40"):
    """Opcodes of numpy's float64(2.5), as pickle's protocol 2 writes it."""
    state = op_tuple(op_int(3), op_str(order), b"N", b"N", b"N", op_int(-1), op_int(-1), op_int(0))
    dtype = op_global("numpy", "dtype") + op_tuple(op_str(code.decode()), b"\x89", b"\x88") + b"R" + state + b"b"
    text = op_global("_codecs", "encode") + op_tuple(op_str(raw.decode("latin1")), op_str("latin1")) + b"R"
    return op_global("numpy.core.multiarray", "scalar") + op_tuple(dtype, text) + b"R"
