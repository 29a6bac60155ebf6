"""langgraph: a graph of one's own, with its tool node, streamed."""

import desk
from langchain_core.messages import SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

tools = [tool(desk.get_order), tool(desk.get_customer), tool(desk.get_item)]
model = ChatOpenAI(
    model="default", base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"], streaming=True
).bind_tools(tools)


def ask(state: MessagesState):
    return {"messages": [model.invoke([SystemMessage(desk.system), *state["messages"]])]}


graph = StateGraph(MessagesState)
graph.add_node("ask", ask)
graph.add_node("tools", ToolNode(tools))
graph.add_edge(START, "ask")
graph.add_conditional_edges("ask", tools_condition)
graph.add_edge("tools", "ask")
result = graph.compile().invoke({"messages": [("user", desk.prompt)]})
for message in result["messages"]:
    if message.type == "ai":
        desk.saw(message.content, [(call["name"], call["args"]) for call in message.tool_calls])
desk.report(1.0)
