"""Random slips in a program's text: one small change of its syntax tree, as people make them."""

import ast
import copy
import random


def _array_names(function):
    """Names that hold arrays: arguments, and what is assigned from arithmetic."""
    names = {argument.arg for argument in function.args.args}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            names |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return sorted(names)


def _places(tree):
    """List (parent, field, index, node) of everything below a function."""
    found = []
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                found.append((parent, field, None, value))
            elif isinstance(value, list):
                found += [(parent, field, k, v) for k, v in enumerate(value)]
    return found


def _other_operation(node, rng):
    kind = rng.choice(["left", "right", "swap"])
    if kind != "swap":
        return getattr(node, kind)
    other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Pow: ast.Mult}
    if type(node.op) not in other:
        return None
    return ast.BinOp(node.left, other[type(node.op)](), node.right)


def _without_call(node):
    named = isinstance(node.func, ast.Attribute) and node.func.attr in ("tanh", "sqrt", "log")
    return node.args[0] if named and len(node.args) == 1 else None


def _other_attribute(node):
    if node.attr == "T":
        return node.value
    return ast.Attribute(node.value, "mean", ast.Load()) if node.attr == "sum" else None


def _changed(node, names, rng):
    """What may stand in place of a node; None where nothing is to be changed."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        return ast.Name(rng.choice(names), ast.Load())
    if isinstance(node, ast.BinOp):
        return _other_operation(node, rng)
    if isinstance(node, ast.Call):
        return _without_call(node)
    if isinstance(node, ast.Attribute):
        return _other_attribute(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return ast.Constant(node.value + rng.choice([1, -1]))
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return ast.Assign([node.target], node.value)
    return None


def mutants(source, count, seed=0):
    """Draw that many different texts, each with one slip in it, and the line that was changed."""
    rng = random.Random(seed)
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for _ in range(100 * count):
        mutant = copy.deepcopy(tree)
        function = rng.choice([n for n in ast.walk(mutant) if isinstance(n, ast.FunctionDef)])
        parent, field, index, node = rng.choice(_places(function))
        new = _changed(node, _array_names(function), rng)
        if new is None:
            continue
        if index is None:
            setattr(parent, field, new)
        else:
            getattr(parent, field)[index] = new
        text = ast.unparse(ast.fix_missing_locations(mutant))
        if text not in seen:
            seen.add(text)
            before, after = ast.unparse(tree).splitlines(), text.splitlines()
            line = next((a for b, a in zip(before, after, strict=False) if a != b), "")
            yield text, line.strip()
            count -= 1
        if count == 0:
            return
