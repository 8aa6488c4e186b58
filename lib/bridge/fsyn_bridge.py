"""Lets fsyn ask an explainer that is written in Python. Needs nothing but the standard library.

    from fsyn_bridge import explainer, serve

    @explainer(name="my-method", reference="Doe 2026", version="1")
    def explain(sample):
        # sample["files"]["views"]: the picture as the model sees it; sample["tokenIds"], sample["decision"],
        # sample["imagePlayers"], sample["textPlayers"]: what there is to score, and in which order.
        return image_scores, text_scores

    serve()

Run it with `fsyn bench --explainers "exec:python3 my_explainer.py"`. Scores are numbers in (nested) lists, numpy arrays or
torch tensors: [players], or [tiles, rows, columns] for the image; [players] for the text; larger means more important.
`print` goes to standard error: standard output belongs to the protocol (JSON-RPC 2.0, one message a line).
"""

import json
import sys
import traceback

PROTOCOL = 1

_found = None


def explainer(name, title=None, reference="", version=""):
    """Marks the function that fsyn calls with a sample and that returns (image scores, text scores)."""

    def register(function):
        global _found
        if _found is not None:
            raise ValueError("There is one explainer to a program, and this one has two.")
        identity = {"name": name, "title": title or name, "reference": reference, "version": version}
        _found = (function, identity)
        return function

    return register


def plain(scores):
    """Numbers that JSON can hold, of lists, numpy arrays and torch tensors; bits of float32 and float64 survive."""
    if hasattr(scores, "detach"):
        scores = scores.detach().cpu()
        if str(scores.dtype) in ("torch.bfloat16", "torch.float16"):
            scores = scores.float()
    if hasattr(scores, "tolist"):
        return scores.tolist()
    if isinstance(scores, (list, tuple)):
        return [plain(item) for item in scores]
    return float(scores)


def _answer(method, params):
    function, identity = _found
    if method == "initialize":
        if params.get("protocol") != PROTOCOL:
            spoken = params.get("protocol")
            raise ValueError(f"fsyn speaks protocol {spoken}, this helper {PROTOCOL}: write it anew with `fsyn bridge python`.")
        return identity
    if method == "attribute":
        image, text = function(params)
        return {"image": plain(image), "text": plain(text)}
    raise ValueError(f"There is no method {method}.")


def serve():
    """Answers fsyn until it has no more questions."""
    if _found is None:
        raise ValueError("There is no function marked with @explainer.")
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("method") == "shutdown":
            return
        reply = {"jsonrpc": "2.0", "id": request.get("id")}
        try:
            reply["result"] = _answer(request["method"], request.get("params") or {})
            json.dumps(reply, allow_nan=False)  # A score that is not finite is an error of this sample.
        except Exception as error:
            traceback.print_exc()
            reply.pop("result", None)
            reply["error"] = {"code": -32000, "message": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply, allow_nan=False) + "\n")
        out.flush()
