"""Mutations: every way to plant one small bug into a function, as people make them.

    comparison    < for <=, == for !=, <= for >=            constant      one more, one less
    arithmetic    + for -, // for %, * for //               condition     the other way round; and for or
    arguments     min for max, swapped                      statement     += for =, a continue or an append forgotten

The docstring stays as it is: it says what is right.
"""

import ast
from collections.abc import Iterator

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
}
ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.FloorDiv: (ast.Mod,),
    ast.Mod: (ast.FloorDiv,),
}
CALLS = {"min": "max", "max": "min"}


def mutations(source: str) -> list[tuple[int, int]]:
    """Return every mutation of a function, by the number of the node it changes and the number of the way."""
    places = enumerate(_places(ast.parse(source)))
    return [(place, way) for place, node in places for way in range(_ways(node))]


def mutant(source: str, place: int, way: int) -> str:
    """Return a function with one mutation."""
    tree = ast.parse(source)
    _mutate(tree, list(_places(tree))[place], way)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def tidy(source: str) -> str:
    """Return the source in the form in which mutants are written, so that form gives no bug away."""
    return ast.unparse(ast.parse(source)) + "\n"


def _places(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of the function's statements, in a fixed order, without its docstring."""
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    for statement in function.body[1:]:
        yield from ast.walk(statement)


def _ways(node: ast.AST) -> int:
    """Return in how many ways a node can be changed."""
    match node:
        case ast.Compare(ops=[first, *_]):
            return len(COMPARISONS.get(type(first), ()))
        case ast.BinOp(op=sign) | ast.AugAssign(op=sign):
            return len(ARITHMETIC.get(type(sign), ()))
        case ast.Constant(value=bool() | str() | None):
            return 0
        case ast.Constant():
            return 2
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return int(name in CALLS or len(arguments) == 2)
        case ast.BoolOp() | ast.If() | ast.Continue() | ast.Expr(value=ast.Call()):
            return 1
        case _:
            return 0


def _mutate(tree: ast.Module, node: ast.AST, way: int) -> None:
    match node:
        case ast.Compare():
            node.ops[0] = COMPARISONS[type(node.ops[0])][way]()
        case ast.BinOp() | ast.AugAssign():
            node.op = ARITHMETIC[type(node.op)][way]()
        case ast.Constant(value=int(number)):
            node.value = number + (1, -1)[way]
        case ast.BoolOp():
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        case ast.If():
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            node.func = ast.Name(id=CALLS[name], ctx=ast.Load())
        case ast.Call():
            node.args.reverse()
        case _:
            _forget(tree, node)


def _forget(tree: ast.Module, statement: ast.AST) -> None:
    """Put a statement that does nothing in the place of one."""
    for parent in ast.walk(tree):
        for _, field in ast.iter_fields(parent):
            if isinstance(field, list) and statement in field:
                field[field.index(statement)] = ast.Pass()
